"""Content: what an answer said, where its record holds it."""

import re
from collections.abc import Iterable, Iterator

import msgspec

from ...streams.events.answer_outcome import FAILED_ENDS
from ...streams.events.generation import Generation

_UNSAID = FAILED_ENDS | {"refused", "abort"}
_FENCED = re.compile(r"^[ \t]*+(```++|~~~++).*?(?:^[ \t]*\1|\Z)", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(
    r"^[ \t]*+>.*$|`[^`\n]+`|\"[^\"\n]{2,400}\"|“[^”]{2,400}”|«[^»]{2,400}»|„[^“”]{2,400}[“”]|「[^」]{2,400}」",
    re.MULTILINE,
)
_BODY = re.compile(
    r"^[ \t]*+(```++|~~~++)[^\n]*+\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
_END = re.compile(r"(?<=[.!?…])[)*_\"'”]*\s+|(?<=[。！？])|\n+")
_MARKED = re.compile(r"^[\s>*#_\-•–]*(?:\d+[.)]\s+|\(?[a-h]\)\s+)?[*_]*")
NEVER_CODE = 80
"""Arguments of a call that are shorter hold no file."""


def is_whole(generation: Generation) -> bool:
    """Return whether an answer was kept, with consent, and heard to its end; it may say nothing."""
    return (
        generation.may_keep
        and generation.captured
        and generation.status < 400
        and generation.finish_reason not in _UNSAID
        and (bool(generation.text or generation.tool_calls) or not generation.capture_problem)
    )


def holds_answer(generation: Generation) -> bool:
    """Return whether the record holds what was answered.

    It does not without consent, where the engine failed, where the answer was not captured or not
    heard to its end, or where it says nothing and calls nothing.
    """
    return bool(generation.text or generation.tool_calls) and is_whole(generation)


def asked(generation: Generation, most: int = 20_000) -> str:
    """Return the last characters of what people said in the request, one message a line."""
    said = "\n".join(one.text for one in generation.input if one.role == "user")
    return said[-most:]


def has_any(text: str, signs: Iterable[str]) -> bool:
    """Return whether a text, in lower case, holds one of some pieces: cheaper than a pattern."""
    return any(sign in text for sign in signs)


def in_own_words(text: str) -> str:
    """Return a text without code, and without what stands in quotes: the answer's own words.

    >>> in_own_words('Say "Which one?" to them, or `ask()`.')
    'Say  to them, or .'
    """
    return _QUOTED.sub("", without_code(text))


def without_code(text: str) -> str:
    """Return a text without its blocks of code."""
    return _FENCED.sub("\n", text) if "```" in text or "~~~" in text else text


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, without marks of lists and headings.

    >>> sentences("Two things:\\n1. Which file?\\n2. Whose? Tell me.")
    ['Two things:', 'Which file?', 'Whose?', 'Tell me.']
    """
    found = (_MARKED.sub("", one).strip() for one in _END.split(text))
    return [one for one in found if one]


def has_code(text: str) -> bool:
    """Return whether a text shows a block of code."""
    return ("```" in text or "~~~" in text) and any(body.strip() for _, body in _BODY.findall(text))


def code_of(generation: Generation) -> list[str]:
    """Return the code that an answer wrote: fenced blocks, and long texts in arguments of calls."""
    found = list[str]()
    if "```" in generation.text or "~~~" in generation.text:
        found += [body for _, body in _BODY.findall(generation.text)]
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
