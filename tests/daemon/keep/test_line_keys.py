"""Line keys: which lines of a file stayed, also of files that are too long to compare line by line."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import LCSseq

from rlwd.daemon.keep import line_keys as module
from rlwd.daemon.keep import owned_lines
from rlwd.daemon.keep.line_keys import line_keys, matching
from rlwd.daemon.keep.owned_lines import OwnedLine, carry

FILE = st.lists(st.sampled_from("abcdefgh"), max_size=30).map(
    lambda lines: line_keys("\n".join(lines).encode())
)


@given(before=FILE, after=FILE, cells=st.sampled_from([0, 4, 30, 10_000]))
def test_what_stayed_is_the_same_line_in_order(
    before: list[bytes], after: list[bytes], cells: int
) -> None:
    """However little is compared at once, lines are matched with equal ones, each once, in order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MOST_CELLS", cells)
        found = matching(before, after)
    pairs = sorted(found.items())
    assert all(before[old] == after[new] for old, new in pairs)
    places = [new for _, new in pairs]
    assert places == sorted(set(places))
    if before == after:
        assert len(pairs) == len(before)


def test_lines_that_stand_once_hold_a_long_file_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no two halves may be compared as a whole, an edit in each of many places is found."""
    monkeypatch.setattr(module, "_MOST_CELLS", 100)
    before = line_keys("\n".join(f"line {n}" for n in range(500)).encode())
    after = [key for at, key in enumerate(before) if at % 50 != 7]
    after.insert(0, line_keys(b"new")[0])
    found = matching(before, after)
    assert sorted(set(range(500)) - set(found)) == list(range(7, 500, 50))


@pytest.mark.parametrize("kind", ["shuffled", "brackets"])
def test_a_file_of_many_lines_takes_no_more_memory_than_it_may(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Sixty thousand lines in another order are never compared each with each: that took 450 MB."""
    real, most = LCSseq.opcodes, [0]

    class Counted:
        @staticmethod
        def opcodes(before: list[bytes], after: list[bytes]) -> object:
            most[0] = max(most[0], len(before) * len(after))
            return real(before, after)

    monkeypatch.setattr(module, "LCSseq", Counted)
    monkeypatch.setattr(owned_lines, "_MOST_WORK", 100_000)
    lines = [f"{n}" if kind == "shuffled" else "{(["[n % 3] for n in range(60_000)]
    before = line_keys("\n".join(lines).encode())
    random.Random(1).shuffle(lines)
    carried = carry([OwnedLine(key, "g") for key in before], line_keys("\n".join(lines).encode()))
    assert len(carried.lines) == 60_000
    assert most[0] <= module._MOST_CELLS
