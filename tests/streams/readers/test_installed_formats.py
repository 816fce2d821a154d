"""Trace formats of installed distributions, by the entry point group `rlwd.trace_formats`."""

from pathlib import Path

import pytest
from extension_by_hand import install_extension

from rlwd.daemon.commands.replay import replay
from rlwd.streams.readers.formats import trace_format

SOURCE = """
from datetime import datetime, timezone
from rlwd.streams.events.event import GenerationEvent
from rlwd.streams.events.generation import Generation

def read_lines(path, *, on_error=None):
    for number, line in enumerate(path.read_text().splitlines()):
        at = datetime(2026, 1, 1, tzinfo=timezone.utc)
        data = Generation(generation_id=f"s.g{number}", session_id="s", text=line)
        yield GenerationEvent(
            id=data.generation_id, source="/acme", specversion="1.0",
            time=at, receivedtime=at, data=data,
        )
"""


def test_an_installed_format_is_replayed_like_a_built_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rlwd replay --format NAME` reads a file with the distribution's reader."""
    points = {"lines": "lines:read_lines"}
    install_extension(tmp_path / "lines", monkeypatch, "rlwd.trace_formats", points, SOURCE)
    recorded = tmp_path / "recorded.txt"
    recorded.write_text("one\ntwo\n")
    report = replay(recorded, "lines", tmp_path / "state")
    assert (report["generations"], report["fates"]) == (2, {"censored:no_decision": 2})


@pytest.mark.parametrize(
    ("points", "wanted", "said"),
    [
        ({"chat": "m:read_lines"}, "copilot", r"acme-m 1\.2 offers 'chat', which is built in"),
        ({"events": "m:read_lines"}, "chat", r"acme-m 1\.2 offers 'events', which is built in"),
        ({"gone": "absent:x"}, "gone", r"'gone' of distribution acme-m 1\.2 cannot be loaded"),
        ({"lines": "m:read_lines"}, "html", r"--format html: no such format; known: .*lines"),
    ],
)
def test_a_format_that_cannot_be_used_names_its_distribution(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    points: dict[str, str],
    wanted: str,
    said: str,
) -> None:
    """A built-in name, even beside the wanted one, and a broken import are errors of the caller."""
    install_extension(tmp_path / "m", monkeypatch, "rlwd.trace_formats", points, SOURCE)
    with pytest.raises(ValueError, match=said):
        trace_format(wanted)
