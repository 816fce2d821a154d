"""Line keys: what is remembered of a line of code, so that no state file holds anybody's code.

A key is a digest of the line without its white space, and how many letters and digits it has. So a
line that was indented anew, or got another line end, is the same line; and one without a letter or
digit, as `}` is, counts for nothing, since it stands everywhere.
"""

import codecs
import hashlib

from rapidfuzz.distance import LCSseq

LineKey = bytes
"""Eight bytes of digest and one of letters and digits, 255 at most."""
KEY_BYTES = 9
LARGEST = 2_000_000
"""Bytes of a file beyond which it is nobody's work to read."""


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

    By a longest common subsequence of what is between the equal beginning and the equal end.
    """
    start, shorter = 0, min(len(before), len(after))
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    found = {index: index for index in range(start)}
    middle = before[start : len(before) - end], after[start : len(after) - end]
    if all(middle):
        for step in LCSseq.opcodes(*middle):
            if step.tag == "equal":
                for index in range(step.src_end - step.src_start):
                    found[start + step.src_start + index] = start + step.dest_start + index
    shift = len(after) - len(before)
    found |= {index: index + shift for index in range(len(before) - end, len(before))}
    return found
