"""JSON as commands print it: what people and models wrote moves nobody's cursor, and nothing of it is lost."""

import os
import pty
import sys
import unicodedata
from pathlib import Path

import orjson
import pytest
from ledger_by_hand import FEEDBACK, feedback, open_ledger
from talks_by_hand import Talk
from typer.testing import CliRunner

from rlwd.daemon.cli import app
from rlwd.daemon.shown_json import escaped, shown_json
from rlwd.daemon.status.shown_text import shown
from rlwd.streams.events.signals import FollowedUp

EVIL = "a\x9b2J\x7f\u202eb\u2066c\x1b[2Jd"
"""Clears a terminal twice and turns what follows around."""


def obeyed(text: str) -> set[str]:
    """Return what of a text a terminal would obey."""
    return {one for one in text if shown(one).plain != one and one != "\n"}


def test_nothing_that_a_terminal_obeys_is_left_and_nothing_is_lost() -> None:
    """Whatever `shown` writes out of a text is an escape in JSON, and reads back as it was."""
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    every = "".join(one for one in every if unicodedata.category(one) != "Cs")
    text = shown_json({every: EVIL})
    assert obeyed(text) == set()
    assert orjson.loads(text) == {every: EVIL}
    assert escaped('"caf\u00e9 \u05e9 \U0001f600"') == '"caf\u00e9 \u05e9 \U0001f600"'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The config of a state in which somebody wrote what moves a cursor."""
    ledger = open_ledger(tmp_path / "state" / "rlwd.db")
    ledger.take(Talk("a").turn(0.0, text=EVIL, purposes=("count", "train", "share")))
    ledger.take(feedback("f1", "s.a0", FollowedUp(text=EVIL), 4.0), partition=FEEDBACK)
    ledger.store.close()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    config = tmp_path / "rlwd.toml"
    config.write_text('policy = "policy"\n[learner]\nmodel = "model"\n')
    return config


def test_explain_prints_no_orders(config: Path) -> None:
    """A person's words are in it, as JSON."""
    done = CliRunner().invoke(app, ["explain", "s.a0", "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert obeyed(done.stdout) == set()
    assert EVIL in {one["signal"].get("text") for one in orjson.loads(done.stdout)["feedback"]}


def test_an_export_to_a_terminal_gives_no_orders(config: Path, tmp_path: Path) -> None:
    """To a file the words go as they are; both are the same documents."""
    master, slave = pty.openpty()
    for to in (os.ttyname(slave), str(tmp_path / "out.jsonl")):
        command = ["export", "--format", "atif", "--to", to, "--config", str(config)]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    told = [os.read(master, 1 << 16), (tmp_path / "out.jsonl").read_bytes()]
    os.close(master)
    os.close(slave)
    seen, kept = (one.decode().replace("\r\n", "\n") for one in told)
    assert obeyed(seen) == set()
    assert obeyed(kept) == {"\x9b", "\x7f", "\u202e", "\u2066"}
    assert orjson.loads(seen) == orjson.loads(kept)
