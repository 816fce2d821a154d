"""`rlwd rewards calibrate FILE`: a reader held against labelled messages, from the command line."""

import json
from pathlib import Path

import orjson
import pytest
from said_by_hand import said
from typer.testing import CliRunner

from rlwd.daemon.cli import app
from rlwd.ops.reading.reader_folder import ReaderState, keep
from rlwd.rewards.satisfaction.training import train


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "rlwd.toml"
    path.write_text('state = "state"\n[learner]\nmodel = "nothing-here"\n')
    return path


def labelled(folder: Path, count: int, seed: int, neutral: int = 0) -> Path:
    """Write so many labelled messages."""
    lines = [
        {
            "message": one.message.text,
            "request": one.message.request,
            "label": "satisfied" if one.satisfied else "dissatisfied",
            "person": one.person,
        }
        for one in said(count, seed=seed)
    ]
    lines += [{"message": "what is the capital of Peru?", "label": "neutral"}] * neutral
    path = folder / "labelled.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def ran(config: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["rewards", "calibrate", *arguments, "--config", str(config)])
    if done.exception and not isinstance(done.exception, SystemExit):
        return 2, str(done.exception)
    return done.exit_code, done.output


def test_the_newest_reader_of_a_state_is_held_against_a_file(config: Path, tmp_path: Path) -> None:
    """Accuracy, kappa, calibration error and the curve, as JSON and as tables."""
    reader = train(said(1000))
    keep(tmp_path / "state" / "readers", ReaderState(version=reader.version, silent=""), reader)
    file = labelled(tmp_path, 500, seed=7, neutral=3)
    status, out = ran(config, str(file), "--json")
    assert status == 0, out
    report = orjson.loads(out)
    assert report["reader"] == reader.version
    assert (report["messages"], report["neutral_labels"], report["unread"]) == (500, 3, 0)
    assert report["calibration_error"] <= 0.05
    assert report["accuracy"] > 0.9
    assert report["kappa"] > 0.8
    assert sum(one["count"] for one in report["bins"]) == 500
    status, out = ran(config, str(file))
    assert status == 0
    for words in (reader.version, "kappa", "calibration error", "Reliability"):
        assert words in out


def test_a_reader_is_learned_from_the_file(config: Path, tmp_path: Path) -> None:
    """With whole people held out; nothing of it is kept."""
    status, out = ran(config, str(labelled(tmp_path, 600, seed=1)), "--reader", "fit", "--json")
    assert status == 0, out
    report = orjson.loads(out)
    assert (report["held_out"], report["messages"]) == (True, 600)
    assert report["calibration_error"] <= 0.05
    assert not (tmp_path / "state" / "readers").exists()


@pytest.mark.parametrize(
    ("text", "arguments", "says"),
    [
        ("", (), "holds no labelled message"),
        ('{"message": "a"}', (), ":1: Object missing required field `label`"),
        ('{"message": "a", "label": "neutral"}\n' * 2, (), "all 2 labels are neutral"),
        ('{"message": "a", "label": "glad"}', (), "$.label"),
        ('{"message": "a", "label": "satisfied"}', (), "holds no reader"),
        ('{"message": "a", "label": "satisfied"}', ("--reader", "judge"), "names no judge"),
        ('{"message": "a", "label": "satisfied"}', ("--reader", "me"), "none of learned"),
        ('{"message": "a", "label": "satisfied"}', ("--reader", "fit"), "1 messages beside"),
    ],
)
def test_what_cannot_be_read_is_said(
    config: Path, tmp_path: Path, text: str, arguments: tuple[str, ...], says: str
) -> None:
    """The line and the field, or what is missing."""
    file = tmp_path / "labelled.jsonl"
    file.write_text(text)
    status, out = ran(config, str(file), *arguments)
    assert status == 2
    assert says in out


def test_a_line_that_nests_too_deeply_is_named(config: Path, tmp_path: Path) -> None:
    """Beside one that begins with a byte order mark, which is read."""
    file = tmp_path / "labelled.jsonl"
    line = '{"message": "m", "label": "satisfied"}\r\n'
    file.write_text(
        "\ufeff" + line + line.replace("{", '{"x": ' + "[" * 5000 + "]" * 5000 + ",", 1)
    )
    status, out = ran(config, str(file), "--reader", "fit")
    assert status == 2
    assert "labelled.jsonl:2: " in out
