"""`rlwd export`: what is in the state leaves as traces, and only what may."""

import json
import os
import signal
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sessions_by_hand import answered, told, two_ways
from typer.testing import CliRunner

from rlwd.daemon.cli import app
from rlwd.daemon.commands import export
from rlwd.daemon.commands.replay import replay
from rlwd.streams.events.event import Event, GenerationEvent, encode_event
from rlwd.streams.events.signals import Accepted, Edited
from rlwd.streams.join.retention import expire
from rlwd.streams.open import open_store
from rlwd.streams.readers.formats import trace_format
from rlwd.streams.writers.exported import ExportedSession

CONFIG = 'state = "."\npolicy = "replay"\n[learner]\nmodel = "base"\n'


def lived(folder: Path, events: Iterable[Event]) -> Path:
    """Return the config of a state that these events went through, by `rlwd replay`."""
    path = folder / "events.jsonl"
    path.write_bytes(b"".join(encode_event(event) + b"\n" for event in events))
    replay(path, "events", folder / "state")
    config = folder / "state" / "rlwd.toml"
    config.write_text(CONFIG)
    return config


def exported(config: Path, format: str, *more: str) -> list[dict[str, Any]]:
    to = config.parent / f"out.{format}.jsonl"
    command = ["export", "--format", format, "--to", str(to), "-c", str(config), *more]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert to.stat().st_mode & 0o777 == 0o600
    return [json.loads(line) for line in to.read_text().splitlines()]


def session_events() -> list[Event]:
    found: list[Event] = []
    for answer in two_ways().answers:
        found += [answer.event, *answer.feedback]
    return found


@pytest.mark.parametrize("format", ["atif", "otel-genai"])
def test_what_was_lived_leaves_and_comes_back(tmp_path: Path, format: str) -> None:
    """Events through ingest and join, exported, replayed: the same answers, feedback and rewards."""
    config = lived(tmp_path, session_events())
    exported(config, format)
    path = config.parent / f"out.{format}.jsonl"
    back = list(trace_format(format)(path))
    answers = [one for one in back if isinstance(one, GenerationEvent)]
    lived_through = [answer.event for answer in two_ways().answers]
    assert sorted(answers, key=lambda one: one.id) == sorted(lived_through, key=lambda one: one.id)
    first = replay(tmp_path / "events.jsonl", "events", tmp_path / "first")
    again = replay(path, format, tmp_path / "again")
    assert again == first
    assert first["reward"]["episodes"] > 0


def test_what_the_join_found_is_told(tmp_path: Path) -> None:
    """Branches by the parents that the join found; derived signals and the reward beside the answer."""
    documents = exported(lived(tmp_path, session_events()), "atif")
    assert [one["trajectory_id"] for one in documents] == ["s", "s.2"]
    copied = [step.get("is_copied_context", False) for step in documents[1]["steps"]]
    assert copied == [True, True, True, False, False]
    second = documents[0]["steps"][-1]
    assert second["message"] == "Here it is."
    assert second["metrics"]["extra"] == {"reward": 1.0}
    assert second["extra"]["rlwd"]["reward"]["parts"]["accepted"] == 1.0
    first = documents[0]["steps"][2]["extra"]["rlwd"]
    assert {one["from"] for one in first["derived"]} <= {"g1", "g2", "g3"}
    assert "followed_up" in {one["signal"]["kind"] for one in first["derived"]}


def test_only_what_may_leave_leaves(tmp_path: Path) -> None:
    """No answer that nobody agreed to share, of a harness's own, of a shadow, or whose content was forgotten."""
    kept = answered("kept", 0.0, "s1", text="kept", finish_reason="stop")
    old = answered("old", -9000.0, "s2", text="old", finish_reason="stop")
    events: list[Event] = [
        kept,
        old,
        answered("secret", 1.0, "s3", text="secret", purposes=("count",)),
        answered("untrained", 1.0, "s4", text="learned from", purposes=("count", "train")),
        answered("unasked", 1.0, "s5", text="unasked", purposes=None),
        answered("title", 2.0, "s1", text="title", side_request="title"),
        answered("shadowed", 3.0, "s1", text="shadowed", variant="shadow"),
        answered("lost", 4.0, "s1", captured=False),
        told(kept, "f", Edited(final_text="kept, edited"), 5.0),
        told(old, "g", Accepted(), -8000.0),
    ]
    config = lived(tmp_path, events)
    with open_store(config.parent / "rlwd.db").transaction() as tx:
        assert expire(tx, "replay", kept.receivedtime.timestamp() - 1) == 1
    text = json.dumps([exported(config, format) for format in ("atif", "otel-genai")])
    assert "kept, edited" in text
    for gone in ("secret", "old", "title", "untrained", "unasked", "shadowed", "lost"):
        assert f'"{gone}"' not in text, gone


def test_one_session_alone(tmp_path: Path) -> None:
    """Named, it is written alone; one that is not there is status 1, and no file is left half."""
    config = lived(tmp_path, [*session_events(), answered("x", 50.0, "other", text="x")])
    (document,) = exported(config, "atif", "--session", "other")
    assert document["session_id"] == "other"
    to = tmp_path / "none.jsonl"
    command = [
        "export",
        "--format",
        "atif",
        "--session",
        "nobody",
        "--to",
        str(to),
        "-c",
        str(config),
    ]
    assert CliRunner().invoke(app, command).exit_code == 1
    assert [one.name for one in tmp_path.glob("none*")] == ["none.jsonl"]
    assert to.read_text() == ""


def test_without_a_file_it_is_standard_output(tmp_path: Path) -> None:
    """So that it goes through a pipe."""
    config = lived(tmp_path, session_events())
    done = CliRunner().invoke(app, ["export", "--format", "otel-genai", "-c", str(config)])
    assert done.exit_code == 0
    assert [list(json.loads(line)) for line in done.stdout.splitlines()] == [
        ["resourceSpans"],
        ["resourceLogs"],
    ]
    assert "3 answers of 1 sessions" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_export_that_is_ended_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """SIGTERM, or a terminal that closes, in mid-file: the file of before stands as it was, and no half of another one."""
    config = lived(tmp_path, session_events())
    to = tmp_path / "out.jsonl"
    to.write_text("before")
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Where the tests run under nohup.

    def ended(session: ExportedSession) -> Iterator[dict[str, Any]]:
        yield {"half": "a file"}
        os.kill(os.getpid(), number)

    monkeypatch.setitem(export.WRITERS, "atif", ended)
    command = ["export", "--format", "atif", "--to", str(to), "-c", str(config)]
    assert CliRunner().invoke(app, command).exit_code == 128 + number
    assert to.read_text() == "before"
    assert [one.name for one in tmp_path.glob("out*")] == ["out.jsonl"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.signal(signal.SIGHUP, before) is signal.SIG_DFL


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """A pipe stays a pipe, as /dev/null must; a link leads where it led; a folder is named."""
    config = lived(tmp_path, session_events())
    command = ["export", "--format", "atif", "-c", str(config), "--to"]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        assert CliRunner().invoke(app, [*command, str(pipe)]).exit_code == 0
        assert '"ATIF-v1.7"' in read.result(60)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    link = tmp_path / "link"
    link.symlink_to("target")
    assert CliRunner().invoke(app, [*command, str(link)]).exit_code == 0
    assert link.is_symlink()
    assert '"ATIF-v1.7"' in (tmp_path / "target").read_text()
    folder = CliRunner().invoke(app, [*command, str(tmp_path)])
    assert isinstance(folder.exception, IsADirectoryError)


@pytest.mark.parametrize("where", ["answer", "edit"])
def test_what_redaction_would_replace_never_leaves(tmp_path: Path, where: str) -> None:
    """It was off when that came; the export writes nothing and names the answer."""
    mail = "anna@posteo.de"
    kept = answered("kept", 0.0, text=mail if where == "answer" else "kept", redacted=())
    edit = told(kept, "f", Edited(final_text="kept" if where == "answer" else mail), 5.0)
    edit = msgspec.structs.replace(edit, data=msgspec.structs.replace(edit.data, redacted=()))
    config = lived(tmp_path, [answered("clean", -5.0, "a"), kept, edit])
    for to in ([], ["--to", str(tmp_path / "out")]):
        command = ["export", "--format", "atif", "-c", str(config), *to]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 2
        assert "generation kept" in done.stderr
        assert "holds mail" in done.stderr
        assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_tenant_may_agree_for_its_people(tmp_path: Path) -> None:
    """Where a record names no purposes, the configuration's are its purposes."""
    config = lived(tmp_path, [answered("kept", 0.0, text="kept", purposes=None)])
    config.write_text(f'{CONFIG}[privacy]\npurposes = ["train", "share"]\n')
    (document,) = exported(config, "atif")
    assert "kept" in json.dumps(document)
