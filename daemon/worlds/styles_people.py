"""Styles people: somebody who wants one style of answer in each kind of work, and does not say which."""

import random
from collections.abc import Mapping

from .styles import STYLES, Task, draw_task, style_of
from .world import Act, Answer, Ask, Reaction

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
LONGEST_TOKENS = 32


class StylesPeople:
    """The tiny policy's crowd (a `World`)."""

    def __init__(self, wants: Mapping[str, str]) -> None:
        """`wants` is a style for each kind of work."""
        self.wants = wants

    def ask(self, user: str, rng: random.Random) -> Ask:
        """Return one question about one topic."""
        task = draw_task(rng)
        return Ask(
            messages=({"role": "user", "content": task.prompt},),
            segment=task.kind,
            about=task,
            options={"max_tokens": LONGEST_TOKENS},
        )

    def react(self, ask: Ask, answer: Answer, user: str, rng: random.Random) -> Reaction:
        """Decide by the style."""
        return react(ask.about, answer.text, self.wants, rng)


def react(task: Task, answer: str, wants: Mapping[str, str], rng: random.Random) -> Reaction:
    """Decide what to do about an answer; draws only from `rng`, so that a seed repeats it."""
    decides, right = rng.uniform(0.05, 0.4), style_of(task, answer) == wants[task.kind]
    taken = right and rng.random() < TAKES_RIGHT
    if taken:
        return Reaction(taken=True, wanted=right, acts=_take(decides, rng))
    return Reaction(
        taken=False, wanted=right, acts=_turn_down(task, wants[task.kind], decides, rng)
    )


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
