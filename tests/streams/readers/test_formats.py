"""Every format against its golden file: a recorded file of each, and the events that it becomes.

The golden files were looked at line by line. To write them anew after a change that is meant:
`python tests/streams/readers/test_formats.py`, and look again.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from trace_cases import CASES, FILES, GOLDEN
from whole_records import whole_record

from rlwd.daemon.commands.replay import replay
from rlwd.streams.events.event import FeedbackEvent, GenerationEvent
from rlwd.streams.events.generation import Generation
from rlwd.streams.join.fate import NO_TOKENS, Admitted, exclusion_from_training
from rlwd.streams.readers.formats import BUILT_IN, MalformedRow, trace_format

_SAYING = ("is_error", "parses", "fits", "value", "fraction", "user_named")
"""Fields of which 0 and false say something."""
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_PLAIN = whole_record(
    GenerationEvent(
        id="g",
        source="s",
        specversion="1.0",
        time=_AT,
        receivedtime=_AT,
        data=Generation(generation_id="g", session_id="s"),
    )
)["data"]


def read(format: str, path: Path) -> list[str]:
    """Return the events as JSON lines, without fields that say nothing."""
    lines = []
    for event in trace_format(format)(path):
        value = whole_record(event)
        if isinstance(event, FeedbackEvent):
            # A recording never says that somebody looked.
            assert value["data"].pop("redacted") is None
        else:
            value["data"] = {k: v for k, v in value["data"].items() if _PLAIN[k] != v}
        lines.append(json.dumps(_telling(value), ensure_ascii=False))
    return lines


def _telling(value: Any) -> Any:
    """Return what says something, so that a field that is added to a record changes no golden file."""
    if isinstance(value, list):
        return [_telling(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {k: _telling(v) for k, v in value.items() if v or (k in _SAYING and v is not None)}


def golden(file: str) -> Path:
    return CASES / f"{file.partition('.')[0]}.events.jsonl"


@pytest.mark.parametrize(("format", "file"), GOLDEN)
def test_a_recorded_file_becomes_its_golden_events(format: str, file: str) -> None:
    """The same events as in the golden file, and again when it is read again."""
    told = read(format, CASES / file)
    assert told == golden(file).read_text().splitlines()
    assert read(format, CASES / file) == told


def test_every_format_has_a_golden_file() -> None:
    """A format that is added without one is found."""
    assert set(BUILT_IN) - {"chat", "copilot"} == set(FILES)


@pytest.mark.parametrize(("format", "file"), GOLDEN)
def test_a_replay_of_it_accounts_for_all_and_trains_on_none(
    tmp_path: Path, format: str, file: str
) -> None:
    """Through ingest, join and rewards: nothing is dead but what has no generation, nothing trained."""
    events = list(trace_format(format)(CASES / file))
    generations = {e.data.generation_id for e in events if not isinstance(e, FeedbackEvent)}
    lonely = [
        e
        for e in events
        if isinstance(e, FeedbackEvent) and e.data.generation_id not in generations
    ]
    report = replay(CASES / file, format, tmp_path)
    assert report["generations"] == len(generations)
    assert report["dead_letters"] == len(lonely) == (1 if format == "langfuse" else 0)
    assert sum(report["fates"].values()) == len(generations)
    assert {fate.partition(":")[0] for fate in report["fates"]} <= {"censored", "excluded"}
    again = replay(CASES / file, format, tmp_path)
    assert again["duplicates"] >= len(generations)
    assert again["fates"] == report["fates"]


@pytest.mark.parametrize(("format", "file"), FILES.items())
def test_a_bad_line_is_named_and_costs_nothing_else(tmp_path: Path, format: str, file: str) -> None:
    """Between good lines one that is no JSON and one of another format: both named, the rest read."""
    whole = (CASES / file).read_bytes()
    lines = (
        [json.dumps(json.loads(whole)).encode()] if file.endswith(".json") else whole.splitlines()
    )
    path = tmp_path / "recorded.jsonl"
    path.write_bytes(b"\n".join([lines[0], b'{"oops": 1', b'{"oops": 1}', *lines[1:]]))
    bad: list[MalformedRow] = []
    events = list(trace_format(format)(path, on_error=bad.append))
    assert sorted(str(one).partition(": ")[0] for one in bad) == [f"{path}:2", f"{path}:3"]
    assert len(events) == len(golden(file).read_text().splitlines())
    with pytest.raises(MalformedRow, match=r"recorded\.jsonl:2: "):
        list(trace_format(format)(path))


@pytest.mark.parametrize("format", FILES)
@pytest.mark.parametrize("content", ["", "\n", '{"oops": 1}\nnot json\n', "[1, 2]", "[]"])
def test_nothing_readable_is_an_error(tmp_path: Path, format: str, content: str) -> None:
    """The exit status is not 0, and the message names the file."""
    path = tmp_path / "nothing.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"nothing\.jsonl: nothing here can be read as"):
        replay(path, format, tmp_path / "state")


@pytest.mark.parametrize(("format", "file"), FILES.items())
def test_a_list_and_lines_are_the_same(tmp_path: Path, format: str, file: str) -> None:
    """What a download button writes as one list gives what lines give, but for made-up names."""
    whole = (CASES / file).read_text()
    rows = (
        [json.loads(whole)] if file.endswith(".json") else list(map(json.loads, whole.splitlines()))
    )
    path = tmp_path / "list.json"
    path.write_text(json.dumps(rows, indent=1))

    def told(lines: list[str]) -> list[tuple[str, str]]:
        return [(v["type"], v["data"].get("text", "")) for v in map(json.loads, lines)]

    assert told(read(format, path)) == told(read(format, CASES / file))


@pytest.mark.parametrize("format", ["kto", "openai-ft", "sharegpt"])
def test_examples_are_whole_and_can_be_learned_from(format: str) -> None:
    """No row says how an answer ended, and none was broken off: a first turn told as texts is taken."""
    ours = Admitted(without_ratio=True, as_text=True)
    found = [
        exclusion_from_training(one.data, admitted=ours)
        for one in trace_format(format)(CASES / FILES[format])
        if isinstance(one, GenerationEvent)
    ]
    assert None in found
    assert set(found) <= {None, NO_TOKENS}


if __name__ == "__main__":
    for name, recorded in GOLDEN:
        golden(recorded).write_text("".join(f"{line}\n" for line in read(name, CASES / recorded)))
        sys.stdout.write(f"{golden(recorded)}\n")
