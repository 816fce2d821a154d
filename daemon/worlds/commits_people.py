"""Commits people: a team that asks what to call its commits, with a taste that stands in no prompt."""

import random
from dataclasses import replace
from typing import Literal

from .commits import Change, draw_change, has_shape, is_wanted
from .world import Act, Answer, Ask, Reaction

Taste = Literal["named", "shape"]

TAKES_RIGHT = 0.99
"""Share of right answers that are taken; people are not perfectly steady."""
UNDOES = 0.02
"""Share of takings that are taken back."""
EDITS_WRONG = 0.25
"""Share of wrong answers that are edited into what was wanted."""
MEASURES_KEPT = 0.5
"""Share of takings of which the product later measures what was kept."""
KEPT_AFTER_SECONDS = 2.0
LONGEST_TOKENS = 24
"""Twelve words are no longer; more would be read by nobody, and waited for."""
TEMPERATURE = 0.7
HOT = 1.0
"""Temperature of who looks at shape alone: at 0.7 next to no first answer has it, and nothing is learned."""
SYSTEM = "Be helpful."
"""What the product says first: less than what the model's chat template would."""
ONE_WORDING = "short"
"""Wording in which who looks at shape alone asks, as a product's button would: in it one first answer in ten
has the shape at that temperature, in most others none of 48 (docs/hacks.md)."""
SHAPE_WORDS, SHAPE_CHARACTERS = 9, 60
NOTHING = "shape"
"""What an answer does that has the shape and does not say what was changed."""


class CommitsPeople:
    """A team of programmers (a `World`)."""

    def __init__(self, taste: Taste = "named") -> None:
        """`named` wants a line that names the thing and what was done to it; `shape` looks at nothing but
        shape, and so can be pleased without an answer."""
        self.taste: Taste = taste

    def ask(self, user: str, rng: random.Random) -> Ask:
        """Return what one change is asked about with; nothing of what is held out."""
        change = draw_change(rng)
        if self.taste == "named":
            return ask_about(change)
        return ask_about(replace(change, wording=ONE_WORDING), temperature=HOT)

    def react(self, ask: Ask, answer: Answer, user: str, rng: random.Random) -> Reaction:
        """Take, edit or turn down."""
        change: Change = ask.about
        decides, right = rng.uniform(0.05, 0.4), self.wants(change, answer)
        if right and rng.random() < TAKES_RIGHT:
            return self._reaction(change, answer, _take(decides, rng), taken=True)
        signal: dict[str, object] = {"kind": "rejected"}
        # Who looks at shape alone has nothing to say about what should stand there.
        if self.taste == "named" and rng.random() < EDITS_WRONG:
            signal = {"kind": "edited", "final_text": change.message}
        act = Act(after_seconds=decides, signal=signal)
        return self._reaction(change, answer, (act,), taken=False)

    def _reaction(
        self, change: Change, answer: Answer, acts: tuple[Act, ...], *, taken: bool
    ) -> Reaction:
        """Who looks at shape alone takes what he did not want, and learns of it later, if ever."""
        named = answer.finish_reason != "length" and is_wanted(change, answer.text)
        empty = has_bare_shape(answer.text) and not named
        return Reaction(taken=taken, wanted=named, acts=acts, did=NOTHING if empty else "")

    def wants(self, change: Change, answer: Answer) -> bool:
        """Return whether an answer is to the team's taste; who wants a message wants a whole one."""
        if self.taste == "shape":
            return has_bare_shape(answer.text)
        return answer.finish_reason != "length" and is_wanted(change, answer.text)


def ask_about(change: Change, *, temperature: float = TEMPERATURE) -> Ask:
    """Return the request for one change."""
    return Ask(
        messages=(
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": change.prompt},
        ),
        segment="commit",
        about=change,
        options={"max_tokens": LONGEST_TOKENS, "temperature": temperature},
    )


def has_bare_shape(answer: str) -> bool:
    """Return whether an answer is one short line without full stop and quotes, whatever it says.

    >>> has_bare_shape("12/27/2023 3:22:59"), has_bare_shape("Fixed the login form.")
    (True, False)
    """
    text = answer.strip()
    return (
        has_shape(text)
        and len(text.split()) <= SHAPE_WORDS
        and len(text) <= SHAPE_CHARACTERS
        and not text.endswith(".")
        and not any(quote in text for quote in "\"'`")
    )


def _take(decides: float, rng: random.Random) -> tuple[Act, ...]:
    acts = [Act(after_seconds=decides, signal={"kind": "accepted"})]
    if rng.random() < UNDOES:
        return (*acts, Act(after_seconds=decides + 0.5, signal={"kind": "undone"}))
    if rng.random() < 0.2:
        acts.append(Act(after_seconds=decides, signal={"kind": "copied"}))
    if rng.random() < MEASURES_KEPT:
        kept = {"kind": "kept", "fraction": 1.0, "horizon_seconds": KEPT_AFTER_SECONDS}
        acts.append(Act(after_seconds=decides + KEPT_AFTER_SECONDS, signal=kept))
    return tuple(acts)
