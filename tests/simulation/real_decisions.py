"""Real decisions: what recorded people decided on suggestions, and what is known of each beforehand."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from rlwd.streams.events.event import Event, FeedbackEvent, GenerationEvent
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.signals import Accepted, Kept, Rejected
from rlwd.streams.readers.copilot import MEAN_LOGPROB, Spell, read_copilot

TELEMETRY = "copilot_telemetry.jsonl"
COMMENTS = ("#", "//", '"""', "'''")
"""How a line begins that is written for people, in the languages of the recordings."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A suggestion that somebody took or turned down."""

    id: str
    """Id of its generation."""
    person: str
    """Hash of who decided."""
    accepted: bool
    """Whether it was taken."""
    kept: dict[str, float]
    """Share of it that still stood, by seconds after it was taken, where that was measured."""
    characters: int
    """Length of the suggestion."""
    tokens: int
    """Tokens of it that the model is scored on."""
    lines: int
    """Lines that it begins or fills."""
    words: bool
    """Whether it is in a language of people, as a comment: all that is code is in one language here."""
    believed: float | None
    """Mean log-probability of its tokens by the model that wrote it."""


def recorded_events(folder: Path, spell: Spell) -> list[Event]:
    """Return the events of a folder's telemetry, in the order of receipt.

    Raises ValueError where the folder has none.
    """
    path = folder / TELEMETRY
    if not path.is_file():
        raise ValueError(f"{folder}: it holds no {TELEMETRY}: name a folder of recorded decisions")
    return list(read_copilot(path, spell=spell))


def speller(model: Path, *, prompt_tokens: int, suggestion_tokens: int) -> Spell:
    """Return what spells code by a model's tokenizer: the end of what stood before, and the beginning."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)

    def ids(text: str) -> tuple[int, ...]:
        given = tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return tuple(given["input_ids"])

    def spell(prompt: str, suggestion: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        # Characters first: no token of either model stands for fewer than one.
        before = ids(prompt[-16 * prompt_tokens :])[-prompt_tokens:]
        return before, ids(suggestion)[:suggestion_tokens]

    return spell


def decisions(events: Iterable[Event], before: Callable[[Generation], str]) -> list[Decision]:
    """Return each suggestion that was decided on and can be scored, in the order of its showing.

    `before` says how the line began that a suggestion goes on with.
    """
    shown, taken = dict[str, Generation](), dict[str, bool]()
    kept = dict[str, dict[str, float]]()
    for event in events:
        if isinstance(event, GenerationEvent):
            shown[event.data.generation_id] = event.data
        elif isinstance(event, FeedbackEvent) and event.data.generation_id:
            name, signal = event.data.generation_id, event.data.signal
            if isinstance(signal, Accepted | Rejected):
                taken[name] = isinstance(signal, Accepted)
            elif isinstance(signal, Kept):
                kept.setdefault(name, {})[f"{signal.horizon_seconds:g}"] = signal.fraction
    return [
        Decision(
            id=name,
            person=one.user_hash,
            accepted=taken[name],
            kept=kept.get(name, {}),
            characters=len(one.text),
            tokens=len(one.completion_token_ids),
            lines=one.text.strip("\n").count("\n") + 1,
            words=is_words(before(one), one.text),
            believed=one.numbers.get(MEAN_LOGPROB),
        )
        for name, one in shown.items()
        if name in taken and one.prompt_token_ids and one.completion_token_ids
    ]


def is_words(before: str, suggestion: str) -> bool:
    """Return whether a suggestion is a comment: it begins one, or goes on with one.

    >>> is_words("x = 1  # the ", "number of rows"), is_words("", "# sort"), is_words("x = ", "1")
    (True, True, False)
    """
    line = before.rpartition("\n")[2]
    first = suggestion.lstrip().startswith(COMMENTS)
    return first or ("#" in line and not suggestion.startswith("\n"))


def known_beforehand(one: Decision) -> list[float]:
    """Return length and language, as the plain regression has them."""
    return [math.log(one.characters), math.log(one.tokens), float(one.lines), float(one.words)]


def folds_of(people: Sequence[str], count: int) -> list[list[str]]:
    """Deal people to folds, whoever has more decisions first, so that folds are of like size.

    `people` has a name for each decision. Every person is in one fold.
    """
    sizes = {name: people.count(name) for name in sorted(set(people))}
    folds: list[list[str]] = [[] for _ in range(count)]
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        min(folds, key=lambda fold: (sum(sizes[one] for one in fold), folds.index(fold))).append(
            name
        )
    return folds
