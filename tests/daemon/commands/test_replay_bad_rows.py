"""Recordings as they are found: with bad rows, a byte order mark, a last line that was cut."""

from pathlib import Path

import pytest

from rlwd.daemon.commands.replay import replay

CASE = Path(__file__).parents[2] / "streams" / "readers" / "cases" / "chat_one_bad_of_three.jsonl"
TELEMETRY = '{"user": "u", "time": "2024-01-01T00:00:00Z", "state": "Shown", "suggestion": "x"}\n'


def test_a_bad_row_is_counted_and_named_and_the_others_are_read(tmp_path: Path) -> None:
    """The case as it was recorded: two chats of three are replayed, the report has file and line."""
    report = replay(CASE, "chat", tmp_path)
    assert (report["generations"], report["unreadable"]) == (2, 1)
    (named,) = report["unreadable_rows"]
    assert named.startswith(f"{CASE}:2: ")


@pytest.mark.parametrize(
    ("format", "good"), [("chat", CASE.read_text().splitlines(True)[0]), ("copilot", TELEMETRY)]
)
def test_a_byte_order_mark_and_a_cut_last_line_cost_nothing_else(
    tmp_path: Path, format: str, good: str
) -> None:
    """An editor's mark is skipped; the line that a full disk cut is named."""
    path = tmp_path / "recorded.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + good.encode() + good.encode()[:-20])
    report = replay(path, format, tmp_path / "state")
    assert (report["generations"], report["unreadable"]) == (1, 1)
    assert report["unreadable_rows"][0].startswith(f"{path}:2: ")


def test_bad_lines_of_our_own_events_are_named_beside_their_dead_letters(tmp_path: Path) -> None:
    """The report says which lines they were."""
    event = (CASE.parents[2] / "join" / "cases" / "clock_skew.jsonl").read_text()
    path = tmp_path / "events.jsonl"
    path.write_text("\ufeff" + event + "{}\n")
    report = replay(path, "events", tmp_path / "state")
    assert (report["dead_letters"], report["unreadable"]) == (1, 1)
    lines = len(event.splitlines()) + 1
    assert report["unreadable_rows"][0].startswith(f"{path}:{lines}: ")


@pytest.mark.parametrize("format", ["chat", "copilot", "events"])
@pytest.mark.parametrize("content", ["", "\n\n", '{"oops": 1}\nnot json\n'])
def test_a_file_of_which_nothing_can_be_read_is_an_error(
    tmp_path: Path, format: str, content: str
) -> None:
    """The exit status is not 0, and the message names the file and its first problem."""
    path = tmp_path / "nothing.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"nothing\.jsonl: nothing here can be read as"):
        replay(path, format, tmp_path / "state")
