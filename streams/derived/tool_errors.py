"""Tool errors: whose fault it was that a tool failed, by the rules in `tool_errors.toml`."""

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec

from ..events.signals import ErrorClass
from .unquoted import lines_of, unquoted

RULES_FILE = Path(__file__).parent / "tool_errors.toml"
LOOKED_AT = 600
"""Characters at the beginning of a result, and as many at its end, that the rules read: an error stands
there, and in between the output of whatever was run."""

_STATUS_KEYS = ("status", "status_code", "statusCode", "http_status", "httpStatus", "code")
_OUTAGES: tuple[ErrorClass, ...] = ("provider_error", "timeout")
_CLASS_KEYS = ("error_class", "errorClass")
_NESTED = ("error", "errors", "exception", "response", "detail", "cause", "structuredContent")
_CLASSES: dict[str, ErrorClass] = {
    spelling: name
    for name in get_args(ErrorClass)
    for spelling in (name, name.upper(), "".join(word.title() for word in name.split("_")))
}
_HTTP = re.compile(
    r"(?:\bhttp(?:/\d(?:\.\d)?)?|\bstatus(?:[ _]?code)?|\bresponse(?:[ _]?code)?|\b(?:server|client|api) error|\berror code|\breturned(?: error)?:?)"
    r"\W{0,4}(?:error|status|code|was|is|of|with)?\W{0,4}\b([1-5]\d\d)\b"
    r"|\b([45]\d\d)\b[ :,-]{1,3}(?:\{|(?:bad|unauthori|payment|forbidden|not|method|request|conflict|gone|precondition|payload|unsupported|unprocessable|locked|too|internal|service|gateway|client|server|network|insufficient)\w*)",
    re.IGNORECASE,
)
_RPC = re.compile(r"(?<![\w.])(-32\d\d\d)\b(?!\.\d)")
_EXIT = re.compile(r"\bexit(?:ed)?(?: with)?(?: (?:code|status))? ?:? ?(\d{1,3})\b", re.IGNORECASE)


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the file; it fits where any of what it lists is found."""

    error_class: ErrorClass = msgspec.field(name="class")
    """What a result that it fits is."""
    why: str
    """For whoever reads the file."""
    http: tuple[int, ...] = ()
    """Statuses."""
    rpc: tuple[int, ...] = ()
    """Codes of JSON-RPC."""
    names: tuple[str, ...] = ()
    """Errno's, exceptions, codes of vendors."""
    exits: tuple[int, ...] = ()
    """Exit codes of commands."""
    texts: tuple[str, ...] = ()
    """Regular expressions."""
    early: bool = False
    """Whether they are looked at with the codes."""
    denies: bool = False
    """Whether it says no more than that this is no outage and nobody's slowness: the model's own fault
    beside it stays one, or a word would be enough to hide it."""


class RuleFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    rule: tuple[Rule, ...]
    """From the top: the first that fits decides."""


@cache
def rules() -> tuple[tuple[Rule, frozenset[str], re.Pattern[str]], ...]:
    """Return the rules, each with its names and its texts as one expression."""
    read = msgspec.toml.decode(RULES_FILE.read_bytes(), type=RuleFile)
    return tuple(
        (rule, frozenset(rule.names), re.compile(rf"(?<!\w)(?:{'|'.join(rule.texts) or '(?!)'})"))
        for rule in read.rule
    )


@lru_cache(maxsize=1024)  # An outage says the same a thousand times.
def classify_error(text: str) -> ErrorClass:
    """Return the class of a result that is known to be an error.

    A class that the harness wrote into it (`error_class` of a JSON object, as
    `invalid_arguments` or `InvalidArguments`) wins. Else codes are looked at before texts: of the
    rules, the first that fits a code of the result; where none does, the first that fits its text.
    What an error quotes is data, and is read only where all else says nothing.

    >>> classify_error("Error: MCP error -32602: Invalid arguments for tool search")
    'invalid_arguments'
    >>> classify_error("Error: ENOENT: no such file or directory, open 'a.txt'")
    'unexpected_environment'
    """
    told = _object_in(text)
    own = next((one for one in _values(told, _CLASS_KEYS) if one in _CLASSES), None)
    if own is not None:
        return _CLASSES[own]
    statuses = {one for one in _values(told, _STATUS_KEYS) if isinstance(one, int)}
    looked = both_ends(text)
    own_words = unquoted(both_ends(lines_of(told)) if isinstance(told, Mapping) else looked)
    return _class_of(own_words, statuses) or _class_of(looked, statuses) or "unknown"


def _class_of(text: str, statuses: set[int]) -> ErrorClass | None:
    """Return the class of the first rule that fits; None where none does."""
    codes, lower = _codes_in(text), text.lower()
    codes.statuses.update(statuses)
    denied = any(
        codes.fit(rule, names) or texts.search(lower)
        for rule, names, texts in rules()
        if rule.denies
    )
    found = _first_of(codes, lower)
    return "unknown" if denied and found in (None, *_OUTAGES) else found


def _first_of(codes: "_Codes", lower: str) -> ErrorClass | None:
    for rule, names, texts in rules():
        if not rule.denies and (codes.fit(rule, names) or (rule.early and texts.search(lower))):
            return rule.error_class
    for rule, _, texts in rules():
        if not rule.denies and texts.search(lower):
            return rule.error_class
    return None


def both_ends(text: str, each: int = LOOKED_AT) -> str:
    """Return the beginning and the end of a text that is longer than both together.

    >>> both_ends("abcdef", 2)
    'ab\\nef'
    """
    return text if len(text) <= 2 * each else f"{text[:each]}\n{text[-each:]}"


def classes_in(text: str) -> frozenset[ErrorClass]:
    """Return every class of which a text holds an error, wherever it stands: what a result could be
    classed as that says a part of it.

    >>> sorted(classes_in("echo 'HTTP 503'; exit 130"))
    ['provider_error', 'user_aborted']
    """
    codes, lower = _codes_in(text), text.lower()
    found = {_CLASSES[word] for word in codes.words & _CLASSES.keys()}
    for rule, names, texts in rules():
        if codes.fit(rule, names) or texts.search(lower):
            found.add(rule.error_class)
    return frozenset(found)


def exit_codes(text: str) -> set[int]:
    """Return the exit codes of commands that a text tells.

    >>> exit_codes("Error: Exit code 124")
    {124}
    """
    return {int(found[1]) for found in _EXIT.finditer(text)}


def exits_of(error_class: ErrorClass) -> frozenset[int]:
    """Return the exit codes that are of a class."""
    return frozenset(
        one for rule, *_ in rules() if rule.error_class == error_class for one in rule.exits
    )


class _Codes(NamedTuple):
    """What a text holds that rules name as it is written."""

    statuses: set[int]
    exits: set[int]
    words: set[str]

    def fit(self, rule: "Rule", names: frozenset[str]) -> bool:
        coded = self.statuses & {*rule.http, *rule.rpc} or self.exits & {*rule.exits}
        return bool(coded or self.words & names)


def _codes_in(text: str) -> _Codes:
    statuses = {int(found[1] or found[2]) for found in _HTTP.finditer(text)}
    statuses |= {int(found[1]) for found in _RPC.finditer(text)}
    return _Codes(statuses, exit_codes(text), set(re.findall(r"\w+", text)))


def _object_in(text: str) -> Any:
    """Return the JSON object that a text is; None where it is none."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _values(told: Any, keys: tuple[str, ...], deep: int = 3) -> Iterator[Any]:
    """Yield what an object has under any of the keys, and what the errors inside it have."""
    if not isinstance(told, Mapping):
        return
    yield from (told[key] for key in keys if isinstance(told.get(key), str | int))
    if deep:
        for key in _NESTED:
            inner = told.get(key)
            for one in inner if isinstance(inner, list) else (inner,):
                yield from _values(one, keys, deep - 1)
