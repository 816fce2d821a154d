"""Paired: answers of two versions to the same questions, and what one does where the other does not."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...rewards.behaviours.behaviour import BEHAVIOURS
from ...streams.events.generation import Generation

BARS: Mapping[str, float] = {
    "asks": 1.0,
    "refuses": 1.0,
    "invalid_calls": 0.01,
    "unfinished_todos": 1.0,
    "reasoning_in_comments": 0.1,
    "repetition": 0.3,
    "breaks_off": 1.0,
    "digits": 0.2,
}
"""From which value on an answer does it: as on the labelled cases (docs/behaviours.md)."""
LARGEST = 700.0
"""Logarithm of the most evidence that is told: more is no float."""
OFF_TOPIC = "off_topic"
"""An answer without tools that has no word of the question."""
NAMES = (*BARS, OFF_TOPIC)


class Differing(NamedTuple):
    """Pairs of answers of which one alone does something."""

    more: int = 0
    """Pairs of which only the version's own answer does."""
    less: int = 0
    """Pairs of which only the other's does."""
    told: int = 0
    """All pairs of which it can be told."""

    def __add__(self, other: object) -> "Differing":
        assert isinstance(other, Differing)
        return Differing(self.more + other.more, self.less + other.less, self.told + other.told)

    @property
    def excess(self) -> float:
        """By how much larger the share is of the version's answers that do it."""
        return (self.more - self.less) / max(self.told, 1)


class Paired:
    """Counts over pairs, by behaviour; pairs are added as they are asked."""

    def __init__(self) -> None:
        self.answers = 0
        """Pairs of which both were answered."""
        self.differing = defaultdict[str, Differing](Differing)
        """By behaviour."""
        self.example: dict[str, Generation] = {}
        """By behaviour the first answer that alone does it."""
        self._ours, self._theirs = defaultdict[str, int](int), defaultdict[str, int](int)

    def add(self, ours: Sequence[Generation | None], theirs: Sequence[Generation | None]) -> None:
        """Add answers to the same questions, in the same order; None where there is none."""
        for mine, other in zip(ours, theirs, strict=True):
            if mine is None or other is None:
                continue
            self.answers += 1
            a, b = _does(mine), _does(other)
            # Who makes no call makes no invalid one.
            for name in a.keys() | b.keys():
                own, its = a.get(name, False), b.get(name, False)
                self._ours[name] += own
                self._theirs[name] += its
                self.differing[name] += Differing(own and not its, its and not own, 1)
                if own and not its:
                    self.example.setdefault(name, mine)

    def shares(self, name: str) -> tuple[float, float, int] | None:
        """Return in which share of the answers each does something, and of how many; None of none."""
        told = self.differing[name].told
        return (self._ours[name] / told, self._theirs[name] / told, told) if told else None


def sign_test(pairs: Differing) -> float:
    """Return the probability of so many of all differing pairs, or more, where neither is likelier.

    McNemar, Psychometrika 12, 1947; exact, one-sided.

    >>> round(sign_test(Differing(9, 1)), 4), sign_test(Differing())
    (0.0107, 1.0)
    """
    both = pairs.more + pairs.less
    return _heads(both, pairs.less)


def evidence(pairs: Differing) -> float:
    """Return how many times likelier the pairs are where one does more than where neither does.

    The mean of the likelihood over all chances above 1/2 by which a differing pair is the version's
    own, over that at 1/2. Where neither does more it is a martingale with mean 1, so that it ever
    passes 1/alpha with probability alpha at most (Ville, 1939), however often it is looked at.

    >>> round(evidence(Differing()), 6), round(evidence(Differing(13, 0)))
    (1.0, 1170)
    """
    both = pairs.more + pairs.less
    beta = math.lgamma(pairs.more + 1) + math.lgamma(pairs.less + 1) - math.lgamma(both + 2)
    # The chance above 1/2 of a Beta(more + 1, less + 1) is that of at most `more` heads of both + 1.
    above = 2 * _heads(both + 1, pairs.more)
    if not above:
        return 0.0
    return math.exp(min(math.log(above) + beta + both * math.log(2), LARGEST))


def _heads(throws: int, most: int) -> float:
    """Return the probability of at most so many heads."""
    found, ways = 0, 1
    for k in range(most + 1):
        found += ways
        ways = ways * (throws - k) // (k + 1)
    return found / (1 << throws)


def _does(generation: Generation) -> dict[str, bool]:
    """Return what an answer does, of what can be told of it."""
    told = ((name, BEHAVIOURS[name](generation)) for name in BARS)
    found = {name: float(value) >= BARS[name] for name, value in told if value is not None}
    if generation.finish_reason == "length":
        # The gate's own limit is short: to be cut by it is no habit.
        found.pop("breaks_off", None)
    alike = BEHAVIOURS["likeness"](generation)
    if alike is not None and not generation.tools:
        found[OFF_TOPIC] = alike == 0.0
    return found
