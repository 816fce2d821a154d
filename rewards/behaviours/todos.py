"""Todos: what an answer says it leaves undone, in text and in code."""

import re
from collections.abc import Iterator

from ...streams.events.generation import Generation
from . import signs
from .answer_view import AnswerView, view_of
from .content import asked, in_own_words, without_code

_COMMENT = r"(?:#|//|/\*|--|<!--|;|%|\*|\{/\*|\"\"\"|''')"
_IN_CODE = re.compile(
    rf"{_COMMENT}.{{0,40}}?(?<![\w-])(?:TODO|FIXME|XXX|TBD|HACK)\b(?!\s*(?:list|items?|app)\b)"
    rf"|{_COMMENT}\s*(?:\.{{3}}|…)?\s*(?:your|the\s+rest|rest|remaining|other|more|add|insert|put|implement|fill\s+in|handle|etc)\b.{{0,60}}?(?:here|of\s+(?:the|your)\s+\w+|later|implementation|logic|code\s+goes|similarly|as\s+needed|in\s+the\s+same\s+way|accordingly)\b"
    rf"|{_COMMENT}\s*(?:implement|not\s+(?:yet\s+)?implemented|placeholder|stub|to\s+be\s+(?:implemented|done|completed|filled)|left\s+as\s+an\s+exercise|omitted\s+for\s+brevity|simplified\s+for\s+now)\b"
    r"|\braise\s+NotImplementedError\b|\b(?:unimplemented|todo)!\s*\(|\bthrow\s+new\s+(?:Error|\w*NotImplemented\w*|UnsupportedOperationException)\s*\(\s*[\"'`]?(?:not\s+(?:yet\s+)?implemented|todo|implement)|\bTODO\(\s*[\"'\)]|\bpanic\(\s*\"(?:not\s+implemented|todo|implement)",
    re.IGNORECASE,
)
_IN_TEXT = re.compile(
    r"^\s*[-*]\s+\[ \]\s"
    r"|\b(?:i(?:'ve|\s+have)?\s+(?:left|skipped|omitted|stubbed|not\s+(?:yet\s+)?(?:implemented|done|finished|written|added)))\b"
    r"|\bi\s+(?:haven't|have\s+not|didn't|did\s+not)\s+(?:yet\s+)?(?:implement|finish|write|written|add|added|complete|wire|handle|touch|do\b|get\s+to)\w*"
    r"|\byou(?:'ll|\s+will|\s+still|\s+would)?\s+(?:still\s+)?(?:need|have)\s+to\s+(?:\w+ly\s+)?(?:implement|fill\s+in|finish|complete|write|add\s+the\s+(?:actual|rest|missing|remaining|logic))\b"
    r"|\b(?:remains?|left|still)\s+to\s+be\s+(?:done|implemented|written|finished)\b|\b(?:is|are)\s+(?:still\s+|just\s+|only\s+)?(?:a\s+)?(?:stub(?:bed)?|placeholder)s?\b|\bfor\s+now,?\s+(?:i|it|this)\s+(?:just\s+)?(?:return|stub|hard-?code|skip|leave)\w*"
    r"|^\s*(?:[-*]\s*)?\**(?:TODO|TBD|FIXME)\b\**\s*[:\-–(]|\b(?:the\s+rest|remaining\s+\w+)\s+(?:is|are)\s+(?:left|up\s+to\s+you|an\s+exercise)\b",
    re.IGNORECASE | re.MULTILINE,
)
FAR = 200
"""Characters before and after a sign that may belong to it."""
LONGEST_LINE = 1000
"""Characters of a line of code that are looked at."""
_DEF = re.compile(
    r"^[ \t]*+(?:@\w*\.?abstractmethod|class\s+\w*(?:Base|Abstract|Interface|Protocol)\w*)",
    re.MULTILINE,
)
_TAKEN_OUT = re.compile(r"^-(?!-)")
_KEPT = re.compile(r"existing\s+code|unchanged|keep\s+(?:as|the)", re.IGNORECASE)


def unfinished_todos(generation: Generation) -> int | None:
    """Return how many to-dos an answer leaves, in the code that it writes and in what it says.

    Marks (TODO, FIXME), stubs that only raise, and "the rest goes here" count. A line that the
    request holds too is the person's, one that a diff takes out is done, an abstract method raises
    by design, and code that a sketch leaves as it was is no to-do. English. None without content.
    """
    view = view_of(generation)
    if not view.holds:
        return None
    found = [line for block in view.code for line in _in_code(block)]
    found += _in_text(view)
    if not found:
        return 0
    theirs = {line.strip().lower() for line in _given(generation)}
    return sum(line.strip().lower() not in theirs for line in found)


def _in_code(block: str) -> Iterator[str]:
    if not signs.holds(block.lower(), "todo_in_code"):
        return
    abstract = bool(_DEF.search(block))
    for line in block.splitlines():
        looked_at = line[:LONGEST_LINE]
        hopeful = signs.holds(looked_at.lower(), "todo_in_code")
        hit = _IN_CODE.search(looked_at) if hopeful else None
        if hit is None or _TAKEN_OUT.match(line) or _KEPT.search(line):
            continue
        if abstract and "NotImplementedError" in hit[0]:
            continue
        yield line


def _in_text(view: AnswerView) -> list[str]:
    """Return the sentences that leave something, looked for only around what a to-do holds."""
    if not view.has("todo"):
        return []
    text = without_code(view.generation.text)
    low = text.lower()
    if len(low) != len(text):
        text = low
    found = dict[int, str]()
    for places in signs.places(low, "todo"):
        past = 0
        for place, ends in places:
            if place < past:
                continue
            begin, end = _sentence(text, place)
            if begin not in found and _IN_TEXT.search(in_own_words(text[begin:end])):
                found[begin] = text[begin:end]
            # What has no end is looked at by overlapping pieces, and not around every sign.
            past = max(end if end < place + FAR else place + FAR // 2, ends)
    return list(found.values())


def _sentence(text: str, place: int) -> tuple[int, int]:
    """Return from where to where a sentence goes, as far as it matters."""
    least, most = max(place - FAR, 0), min(place + FAR, len(text))
    begins = (text.rfind("\n", least, place) + 1, text.rfind(". ", least, place) + 2)
    ends = [at for at in (text.find("\n", place, most), text.find(". ", place, most)) if at >= 0]
    return max(least, *(at for at in begins if at > 1), 0), min([*ends, most])


def _given(generation: Generation) -> Iterator[str]:
    for one in generation.input:
        yield from one.text.splitlines()
    if not generation.input:
        yield from asked(generation).splitlines()
