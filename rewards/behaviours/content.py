"""Content: what an answer said, where its record holds it."""

import re
from collections.abc import Iterator

import msgspec

from ...streams.events.answer_outcome import FAILED_ENDS
from ...streams.events.generation import Generation

_UNSAID = FAILED_ENDS | {"refused", "abort"}
_QUOTED = re.compile(
    r"^[ \t]*+>.*$|`[^`\n]+`|\"[^\"\n]{2,400}\"|“[^”]{2,400}”|«[^»]{2,400}»|„[^“”]{2,400}[“”]|「[^」]{2,400}」",
    re.MULTILINE,
)
_END = re.compile(r"(?<=[.!?…])[)*_\"'”]*\s+|(?<=[。！？])|\n+")
_MARKED = re.compile(r"^[\s>*#_\-•–]*(?:\d+[.)]\s+|\(?[a-h]\)\s+)?[*_]*")
NEVER_CODE = 80
"""Arguments of a call that are shorter hold no file."""


def is_whole(generation: Generation) -> bool:
    """Return whether an answer was kept, with consent, and heard to its end; it may say nothing."""
    return (
        generation.captured
        and generation.status < 400
        and generation.finish_reason not in _UNSAID
        and (bool(generation.text or generation.tool_calls) or not generation.capture_problem)
        and generation.may_keep
    )


def asked(generation: Generation, most: int = 20_000) -> str:
    """Return the last characters of what people said in the request, one message a line."""
    said = "\n".join([one.text for one in generation.input if one.role == "user"])
    return said[-most:]


def in_own_words(text: str) -> str:
    """Return a text without code, and without what stands in quotes: the answer's own words.

    >>> in_own_words('Say "Which one?" to them, or `ask()`.')
    'Say  to them, or .'
    """
    return _QUOTED.sub("", without_code(text))


def without_code(text: str) -> str:
    """Return a text without its blocks of code.

    >>> without_code("So:\\n```\\nx = 1\\n```\\nDone.")
    'So:\\n\\n\\nDone.'
    """
    kept, end = list[str](), 0
    for place, close, size in _blocks(text, fences(text), alone=False):
        kept.append(text[end:place])
        end = len(text) if close is None else close + size
    return "\n".join([*kept, text[end:]]) if kept else text


def fences(text: str) -> list[int]:
    """Return where the lines begin that begin or end a block of code."""
    return sorted(_lines_with(text, "```") + _lines_with(text, "~~~"))


def blocks(text: str, places: list[int]) -> list[str]:
    """Return the blocks of code in a text; `places` are its fences. One that nothing ends goes to the end.

    What ends a block is a line of as many marks as began it, and nothing else.
    """
    found = list[str]()
    for place, close, _ in _blocks(text, places, alone=True):
        begin = text.find("\n", place) + 1
        if begin:
            found.append(text[begin : len(text) if close is None else close])
    return found


def _blocks(text: str, places: list[int], *, alone: bool) -> Iterator[tuple[int, int | None, int]]:
    """Yield where each block begins, where the line begins that ends it, and how far its marks reach."""
    at = 0
    while at < len(places):
        place = places[at]
        line = _line(text, place)
        mark = line[: len(line) - len(line.lstrip(line[0]))]
        at += 1
        while at < len(places):
            ends = _line(text, places[at])
            if ends.rstrip(" \t") == mark if alone else ends.startswith(mark):
                break
            at += 1
        if at == len(places):
            yield place, None, 0
            return
        end = text.find(mark, places[at]) + len(mark)
        yield place, places[at], end - places[at]
        at += 1


def _line(text: str, place: int) -> str:
    """Return the line that begins at a place, without blanks before it."""
    end = text.find("\n", place)
    return text[place : end if end >= 0 else len(text)].lstrip(" \t")


def _lines_with(text: str, mark: str) -> list[int]:
    """Return where the lines begin of which a mark is the first that is no blank."""
    found, place = list[int](), text.find(mark)
    while place >= 0:
        begin = text.rfind("\n", 0, place) + 1
        if not text[begin:place].strip(" \t"):
            found.append(begin)
        end = text.find("\n", place)
        place = text.find(mark, end) if end >= 0 else -1
    return found


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, without marks of lists and headings.

    >>> sentences("Two things:\\n1. Which file?\\n2. Whose? Tell me.")
    ['Two things:', 'Which file?', 'Whose?', 'Tell me.']
    """
    found = (_MARKED.sub("", one).strip() for one in _END.split(text))
    return [one for one in found if one]


def code_in_calls(generation: Generation) -> list[str]:
    """Return the code in arguments of calls: long texts of several lines."""
    found = list[str]()
    for call in generation.tool_calls:
        if len(call.arguments) >= NEVER_CODE and call.parses:
            found += [one for one in _strings(_read(call.arguments)) if "\n" in one]
    return found


def _read(arguments: str) -> object:
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return None


def _strings(value: object, key: str = "") -> Iterator[str]:
    """Yield the texts in a call's arguments, without those that it takes out of a file."""
    if isinstance(value, str) and not key.startswith(("old", "search", "before")):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _strings(one, str(name))
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
