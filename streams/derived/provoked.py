"""Provoked: errors that a model wrote itself or brought about, and that are nobody else's fault.

A result is what a tool says, and a tool may say what it was told: `echo "503 Service Unavailable"` is no
outage. An error that costs the model nothing is believed only where its calls do not explain it.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from ..events.input_message import answer_digest
from ..events.signals import ErrorClass
from .tool_errors import both_ends, classes_in, classify_error, exit_codes, exits_of

EXCUSES: frozenset[ErrorClass] = frozenset(("provider_error", "timeout", "user_aborted"))
"""Classes that are not the model's fault."""
LONGEST = 200_000
"""Characters of one call's arguments that an error's line is looked for in."""
READ_BY_RULES = 5_000
"""Characters at the beginning of a call's arguments, and as many at their end, that the rules read: 1 ms
of 1,000, and every error of an outage is looked at."""
LEAST = 8
"""Fewest characters of an error's line that are looked for in what was written before."""

_OWN_MACHINE = re.compile(
    r"\blocalhost\b|\b127(?:\.\d{1,3}){3}\b|(?<![\w:])::1\b|\b0\.0\.0\.0\b|\bhost\.docker\.internal\b",
    re.IGNORECASE,
)
_WAITS = re.compile(
    r"\b(?:sleep|usleep|wait|timeout|start-sleep)\b\W*\d|\b(?:sleep|settimeout)\s*\("
    r"|\bwhile (?:true|:|1)\b|\btail -[fF]\b",
    re.IGNORECASE,
)
_STOPS_ITSELF = re.compile(r"\bkill(?:all)?\b|\bpkill\b|\braise_signal\b", re.IGNORECASE)
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\0?([0-7]{3})")
_JOINS = re.compile(r"""['"]\s*\+\s*['"]|['"\\]""")
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_FOREWORD = re.compile(r"[:\t|→>\]]\s*")


class WrittenBefore(NamedTuple):
    """What a model had written when a call's result came back."""

    arguments: str
    """The call's own, as it wrote them."""
    earlier: tuple[str, ...] = ()
    """Those of the calls before it in the conversation: files that it wrote, to read them now."""
    answers: frozenset[str] = frozenset()
    """Digests of what the agents answered that the call started: they are the same model's."""


def is_provoked(error_class: ErrorClass, text: str, written: WrittenBefore) -> bool:
    """Return whether an error that is not the model's fault, as its text says, is its own doing.

    - The call's arguments, as they are or decoded, hold an error of that class, or the exit code.
    - They address the machine that the call ran on: the service there is the model's own.
    - A call that waits or stops itself ran out of time, or was stopped.
    - The line that makes it an error stands in the arguments, or in those of an earlier call.
    - It is, word for word, what an agent answered that the call started.
    """
    if error_class not in EXCUSES:
        return False
    spellings = tuple(_spellings(written.arguments[:LONGEST]))
    said = " ".join(both_ends(one, READ_BY_RULES) for one in spellings)
    if any(error_class in _classes_in(both_ends(one, READ_BY_RULES)) for one in spellings):
        return True
    codes = exit_codes(text) & exits_of(error_class)
    if codes & {int(one) for one in re.findall(r"\b\d{1,3}\b", said)}:
        return True
    if error_class != "user_aborted" and _OWN_MACHINE.search(said):
        return True
    if error_class == "timeout" and _WAITS.search(said):
        return True
    if error_class != "provider_error" and _STOPS_ITSELF.search(said):
        return True
    if written.answers and answer_digest(text) in written.answers:
        return True
    lines = set(_telling_lines(error_class, text))
    return any(
        line in _plain(spelling)
        for before in (written.arguments, *written.earlier)
        for spelling in (_spellings(before[:LONGEST]) if lines else ())
        for line in lines
    )


@lru_cache(maxsize=1024)  # A policy that provokes writes the same a thousand times.
def _classes_in(text: str) -> frozenset[ErrorClass]:
    return classes_in(text)


def _spellings(arguments: str) -> Iterator[str]:
    """Yield what arguments say: their texts, and these unescaped, unquoted, decoded, from the back."""
    said = "\n".join(_texts(arguments))
    yield said
    plain = _ESCAPE.sub(lambda found: chr(_number(found)), said)
    for other in (plain, unquote(plain), _JOINS.sub("", plain), plain[::-1]):
        if other != said:
            yield other
    decoded = [told for found in _ENCODED.finditer(said) for told in _decoded(found[0])]
    if decoded:
        yield "\n".join(decoded)


def _texts(arguments: str) -> Iterator[str]:
    """Yield the texts among arguments; names of fields, like `timeout`, say nothing."""
    try:
        told: Any = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        yield arguments
        return
    ahead = [told]
    while ahead:
        one = ahead.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            ahead += reversed(one.values())
        elif isinstance(one, list):
            ahead += reversed(one)


def _decoded(word: str) -> Iterator[str]:
    for read in (base64.b64decode, base64.urlsafe_b64decode, bytes.fromhex):
        try:
            told = read(word).decode()
        except (ValueError, binascii.Error):
            continue
        if told.isprintable() or told.strip().replace("\n", " ").isprintable():
            yield told


def _number(found: re.Match[str]) -> int:
    hexadecimal, wide, octal = found.groups()
    return int(octal, 8) if octal else int(hexadecimal or wide, 16)


def _telling_lines(error_class: ErrorClass, text: str) -> Iterator[str]:
    """Yield the lines of a result that make it such an error, without what stands before that."""
    for line in "\n".join(_texts(both_ends(text))).splitlines():
        begins = [0, *(found.end() for found in _FOREWORD.finditer(line))]
        for at in reversed(begins):
            told = _plain(line[at:])
            if len(told) >= LEAST and classify_error(line[at:]) == error_class:
                yield told
                break


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
