"""Owned lines: which lines of a file which generation wrote, carried from one content to the next.

before   a  x  y  z     x, y and z are of generation g
after    a  b  x  z     a person wrote b and took y away

carry(before, after) -> lines a, b, x (g), z (g); lost y (g); inserted {1}
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from .line_keys import LineKey, letters_of, matching

MOVED_IN_FILE, MOVED_BETWEEN_FILES = 20, 40
"""Letters and digits that a block needs before it counts as moved and not as written again: the
thresholds of `git blame -M` and `-C` (git-blame(1))."""
_MOST_PLACES = 50
"""Most places at which one line is looked for: what stands everywhere was not moved."""

_MOST_WORK = 10_000_000
"""Most lines that are compared in a search for moved blocks; what is left then was not moved."""


class OwnedLine(NamedTuple):
    """A line, and the generation that wrote it."""

    key: LineKey
    """Of its content."""
    owner: str
    """Generation id; empty for a line that no generation wrote."""

    @property
    def counts(self) -> bool:
        """Whether its survival says something: a generation wrote it, and it has a letter."""
        return bool(self.owner) and letters_of(self.key) > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What became of a file's lines."""

    lines: list[OwnedLine]
    """The lines now, with their owners."""
    lost: list[list[OwnedLine]]
    """Lines that are gone, in runs as they stood together; of those that somebody owned."""
    inserted: set[int]
    """Positions of lines that were not there before and that nobody owns."""

    @property
    def lost_lines(self) -> list[OwnedLine]:
        """The lost lines that count."""
        return [line for run in self.lost for line in run if line.counts]


def unowned(keys: Sequence[LineKey]) -> list[OwnedLine]:
    """Return lines that no generation wrote."""
    return [OwnedLine(key, "") for key in keys]


def carry(before: Sequence[OwnedLine], after: Sequence[LineKey]) -> Carried:
    """Carry the owners of a file's lines to its next content; blocks moved inside it stay owned."""
    stayed = matching([line.key for line in before], list(after))
    lines = unowned(after)
    for old, new in stayed.items():
        lines[new] = before[old]
    inserted = set(range(len(after))) - set(stayed.values())
    lost = _runs([(at, line) for at, line in enumerate(before) if at not in stayed and line.owner])
    carried = Carried(lines=lines, lost=lost, inserted=inserted)
    found, left = claim_moved(carried, lost, MOVED_IN_FILE)
    return replace(found, lost=left)


def claim_moved(
    into: Carried, lost: Sequence[Sequence[OwnedLine]], threshold: int
) -> tuple[Carried, list[list[OwnedLine]]]:
    """Give lost lines that stand as a block among the inserted ones their owners again.

    Returns the file as it is then, and the runs that are still lost.
    """
    lines, free = list(into.lines), set(into.inserted)
    places: dict[LineKey, list[int]] = {}
    for at in sorted(free):
        places.setdefault(lines[at].key, []).append(at)
    left: list[list[OwnedLine]] = []
    work = 0
    for run in lost:
        at = 0
        rest: list[OwnedLine] = []
        while at < len(run):
            if work > _MOST_WORK:
                rest.extend(run[at:])
                break
            start, length = _longest(run, at, lines, free, places)
            work += 1 + length * min(len(places.get(run[at].key, ())), _MOST_PLACES)
            block = run[at : at + length]
            if sum(letters_of(line.key) for line in block) < threshold:
                rest.append(run[at])
                at += 1
                continue
            lines[start : start + length] = block
            free -= set(range(start, start + length))
            left, rest, at = [*left, rest], [], at + length
        left.append(rest)
    return replace(into, lines=lines, inserted=free), [run for run in left if run]


def _longest(
    run: Sequence[OwnedLine],
    at: int,
    lines: Sequence[OwnedLine],
    free: Collection[int],
    places: dict[LineKey, list[int]],
) -> tuple[int, int]:
    """Return where a run stands longest, from `at` on, among the free lines, and how many of it do."""
    best = (0, 0)
    for start in places.get(run[at].key, ())[:_MOST_PLACES]:
        length = 0
        while (
            at + length < len(run)
            and start + length in free
            and lines[start + length].key == run[at + length].key
        ):
            length += 1
        best = max(best, (start, length), key=lambda found: found[1])
    return best


def _runs(lines: list[tuple[int, OwnedLine]]) -> list[list[OwnedLine]]:
    runs: list[list[OwnedLine]] = []
    last = -2
    for at, line in lines:
        if at != last + 1:
            runs.append([])
        runs[-1].append(line)
        last = at
    return runs
