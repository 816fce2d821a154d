"""Person: what somebody of the demo's crowd does with an answer."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .task import STYLES, Task, style_of

Signal = dict[str, Any]

TAKES_RIGHT = 0.99
"""Share of right answers that are taken; people are not perfectly steady."""
UNDOES = 0.02
"""Share of takings that are taken back."""
EDITS_WRONG = 0.15
"""Share of wrong answers that are edited into what was wanted."""
WRITES_BACK = 0.15
"""Share of wrong answers that are answered with a complaint as they are turned down."""
MEASURES_KEPT = 0.5
"""Share of takings of which the product later measures what was kept."""
KEPT_AFTER_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing done, after a while."""

    after_seconds: float
    """Since the answer arrived."""
    signal: Signal
    """As `/v1/feedback` takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """All that one person does about one answer."""

    taken: bool
    """True where the answer was accepted, even if that was undone later."""
    acts: tuple[Act, ...]
    """In order of time."""


def react(
    task: Task,
    answer: str,
    wants: Mapping[str, str],
    rng: random.Random,
    *,
    by_coin: bool = False,
) -> Reaction:
    """Decide what to do about an answer; draws only from `rng`, so that a seed repeats it.

    Somebody who decides `by_coin` takes half of all answers, whatever they say.
    """
    decides = rng.uniform(0.05, 0.4)
    if by_coin:
        taken = rng.random() < 0.5
    else:
        taken = style_of(task, answer) == wants[task.kind] and rng.random() < TAKES_RIGHT
    if taken:
        return Reaction(taken=True, acts=_take(decides, rng))
    return Reaction(taken=False, acts=_turn_down(task, wants[task.kind], decides, rng))


def _take(decides: float, rng: random.Random) -> tuple[Act, ...]:
    acts = [Act(after_seconds=decides, signal={"kind": "accepted"})]
    if rng.random() < UNDOES:
        return (*acts, Act(after_seconds=decides + 0.5, signal={"kind": "undone"}))
    if rng.random() < 0.2:
        acts.append(Act(after_seconds=decides, signal={"kind": "copied"}))
    if rng.random() < 0.1:
        acts.append(Act(after_seconds=decides, signal={"kind": "rated", "value": 1.0}))
    if rng.random() < MEASURES_KEPT:
        kept = {"kind": "kept", "fraction": 1.0, "horizon_seconds": KEPT_AFTER_SECONDS}
        acts.append(Act(after_seconds=decides + KEPT_AFTER_SECONDS, signal=kept))
    return tuple(acts)


def _turn_down(task: Task, wanted: str, decides: float, rng: random.Random) -> tuple[Act, ...]:
    draw = rng.random()
    if draw < EDITS_WRONG:
        final = STYLES[wanted](task.topic)
        return (Act(after_seconds=decides, signal={"kind": "edited", "final_text": final}),)
    acts = [Act(after_seconds=decides, signal={"kind": "rejected"})]
    if draw < EDITS_WRONG + WRITES_BACK:
        complaint = {"kind": "followed_up", "text": "not like that"}
        acts.append(Act(after_seconds=decides + 0.2, signal=complaint))
    return tuple(acts)
