"""Line keys: what is remembered of a line of code, so that no state file holds anybody's code.

A key is a digest of the line without its white space, and how many letters and digits it has. So a
line that was indented anew, or got another line end, is the same line; and one without a letter or
digit, as `}` is, counts for nothing, since it stands everywhere.
"""

import codecs
import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from rapidfuzz.distance import LCSseq

LineKey = bytes
"""Eight bytes of digest and one of letters and digits, 255 at most."""
KEY_BYTES = 9
LARGEST = 2_000_000
"""Bytes of a file beyond which it is nobody's work to read."""
_MOST_CELLS = 400_000_000
"""Most pairs of lines that are compared at once: a bit each, 50 MB. A file may have a million lines."""


def line_keys(content: bytes) -> list[LineKey]:
    """Return the key of each line.

    >>> line_keys(b"  x = 1") == line_keys(b"x=1" + bytes([13, 10]))
    True
    """
    # An editor's mark at a file's beginning is white space, too.
    content = content.removeprefix(codecs.BOM_UTF8)
    if not content:
        return []
    return [_key(line) for line in content.removesuffix(b"\n").split(b"\n")]


def _key(line: bytes) -> LineKey:
    bare = b"".join(line.split())
    letters = sum(map(str.isalnum, bare.decode("utf-8", "replace")))
    return hashlib.blake2b(bare, digest_size=KEY_BYTES - 1).digest() + bytes((min(letters, 255),))


def letters_of(key: LineKey) -> int:
    """Return how many letters and digits a line has; 0 is a line that does not count."""
    return key[-1]


def is_binary(content: bytes) -> bool:
    """Return whether git would call this binary: a NUL among its first 8,000 bytes."""
    return b"\0" in content[:8000]


def matching(before: list[LineKey], after: list[LineKey]) -> dict[int, int]:
    """Return where each line of `before` that stayed stands in `after`: both in order.

    By a longest common subsequence of what is between the equal beginning and the equal end; where that
    is too long for one, of what is between the lines that stand once in both.
    """
    start, shorter = 0, min(len(before), len(after))
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    found = {index: index for index in range(start)}
    middle = before[start : len(before) - end], after[start : len(after) - end]
    found |= {start + old: start + new for old, new in _common(*middle)}
    shift = len(after) - len(before)
    found |= {index: index + shift for index in range(len(before) - end, len(before))}
    return found


def _common(before: list[LineKey], after: list[LineKey]) -> Iterator[tuple[int, int]]:
    """Yield pairs of places of lines that both have, in order of both."""
    if len(before) * len(after) <= _MOST_CELLS:
        yield from _subsequence(before, after)
        return
    old = new = 0
    for next_old, next_new in [*_anchors(before, after), (len(before), len(after))]:
        gap = before[old:next_old], after[new:next_new]
        if len(gap[0]) * len(gap[1]) <= _MOST_CELLS:
            yield from ((old + one, new + other) for one, other in _subsequence(*gap))
        if next_old < len(before):
            yield next_old, next_new
        old, new = next_old + 1, next_new + 1


def _subsequence(before: list[LineKey], after: list[LineKey]) -> Iterator[tuple[int, int]]:
    """Yield a longest common subsequence; it takes a bit of memory for each pair of lines."""
    for step in LCSseq.opcodes(before, after) if before and after else ():
        if step.tag == "equal":
            for index in range(step.src_end - step.src_start):
                yield step.src_start + index, step.dest_start + index


def _anchors(before: list[LineKey], after: list[LineKey]) -> list[tuple[int, int]]:
    """Return the longest row of lines that stand once in both, in the same order (patience diff)."""
    once, counted = Counter(before), Counter(after)
    place = {key: at for at, key in enumerate(after) if counted[key] == 1 and once[key] == 1}
    pairs = [(at, place[key]) for at, key in enumerate(before) if key in place]
    ends: list[int] = []
    last: list[int] = []
    above: list[int] = []
    for index, (_, new) in enumerate(pairs):
        length = bisect_left(ends, new)
        ends[length : length + 1], last[length : length + 1] = [new], [index]
        above.append(last[length - 1] if length else -1)
    row: list[tuple[int, int]] = []
    at = last[-1] if last else -1
    while at >= 0:
        row.append(pairs[at])
        at = above[at]
    return row[::-1]
