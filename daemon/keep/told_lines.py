"""Told lines: the whole lines that an edit wrote and took away, where it is told in parts of lines.

stands now     x = first(1) + other
told           text "other", old_text "second"
lines          wrote "x = first(1) + other", took away "x = first(1) + second"
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from .line_keys import LineKey, line_keys

_MOST_PLACES = 1000
"""Most places of a text that are looked at: an edit of all places writes it often."""
_MOST_VARIANTS = 20
"""Most places in one line of which each alone is thought to have been edited."""
_MOST_LINES, _LONGEST_LINE = 50, 500
"""Most lines, and characters of one, in which what an edit deleted is looked for."""


class ToldLines(NamedTuple):
    """What an edit wrote and took away, in lines."""

    wrote: list[LineKey] | None
    """Keys of what was written; None where every new line was."""
    taken: Counter[LineKey] | None
    """Keys of what was replaced; None where every line that is gone was."""
    block: list[LineKey]
    """Keys of what was written in one place, in this order; empty where nobody can say."""


def told_lines(content: bytes, text: str | None, old_text: str | None) -> ToldLines:
    """Return the lines of an edit that was made of a file with this content now."""
    taken = None if old_text is None else Counter(line_keys(_encoded(old_text)))
    if text is None:
        return ToldLines(None, taken, [])
    block = line_keys(_encoded(text))
    now, new = content.replace(b"\r\n", b"\n"), _encoded(text).replace(b"\r\n", b"\n")
    regions = _regions(now, new) if new.strip() else []
    if not regions:
        return ToldLines(block, taken, block)
    each = [line_keys(now[start:end]) for start, end, _ in regions]
    if all(_in_a_line(now, first, last) for _, _, at in regions for first, last in at):
        block = each[0] if len(each) == 1 else []
    if old_text is not None:
        old = _encoded(old_text).replace(b"\r\n", b"\n")
        taken = Counter(key for region in regions for key in _before(now, region, old))
    return ToldLines([key for keys in each for key in keys], taken, block)


def deleted_from(
    content: bytes, inserted: Collection[int], lost: Collection[LineKey], old_text: str
) -> tuple[list[LineKey], Counter[LineKey]]:
    """Return the new lines out of which a text was deleted, and the lines that they were before."""
    lines = content.removesuffix(b"\n").split(b"\n")
    old = _encoded(old_text).replace(b"\r\n", b"\n")
    wrote: list[LineKey] = []
    taken: Counter[LineKey] = Counter()
    for at in sorted(inserted)[:_MOST_LINES] if lost and old.strip() else ():
        line = lines[at]
        for place in range(len(line) + 1) if len(line) <= _LONGEST_LINE else ():
            before = line_keys(line[:place] + old + line[place:])
            if all(key in lost for key in before):
                wrote += line_keys(line)
                taken.update(before)
                break
    return wrote, taken


_Region = tuple[int, int, list[tuple[int, int]]]
"""Beginning and end of whole lines, and where in the content a text stands in them."""


def _regions(now: bytes, new: bytes) -> list[_Region]:
    found: list[_Region] = []
    at = now.find(new)
    for _ in range(_MOST_PLACES):
        if at < 0:
            break
        last = at + len(new)
        start = now.rfind(b"\n", 0, at) + 1
        end = last - 1 if new.endswith(b"\n") else now.find(b"\n", last)
        end = len(now) if end < 0 else end
        if found and start <= found[-1][1]:
            places = [*found[-1][2], (at, last)]
            found[-1] = (found[-1][0], max(end, found[-1][1]), places)
        else:
            found.append((start, end, [(at, last)]))
        at = now.find(new, last)
    return found


def _in_a_line(now: bytes, first: int, last: int) -> bool:
    """Return whether something else than white space stands beside a text in its lines."""
    end = now.find(b"\n", last)
    after = b"" if now[last - 1 : last] == b"\n" else now[last : len(now) if end < 0 else end]
    return bool(now[now.rfind(b"\n", 0, first) + 1 : first].strip() or after.strip())


def _before(now: bytes, region: _Region, old: bytes) -> list[LineKey]:
    """Return the lines of a region as they may have been before: all its places, or one of them."""
    start, end, places = region
    ways: Sequence[Sequence[tuple[int, int]]] = [places]
    if len(places) > 1:
        ways = [places, *([one] for one in places[:_MOST_VARIANTS])]
    keys: list[LineKey] = []
    for way in ways:
        pieces, at = list[bytes](), start
        for first, last in way:
            pieces += [now[at:first], old]
            at = last
        keys += line_keys(b"".join(pieces) + now[at:end])
    return keys


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
