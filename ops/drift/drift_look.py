"""Drift look: what a version does more than its reference, and whether that passes a bar.

Pure. The unit is the user, and every bound holds at all looks together (`ops/statistics`).
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from ..stages.watch_settings import WatchSettings
from ..statistics.sequential_tests import Mean, UserSums, ratio_mean, width
from .bar import bar_of, is_halved, is_passed
from .drift_answers import DriftAnswer
from .segment_mix import DriftRow, mean_of, same_mix
from .tool_rows import MOST_TOOLS, first_tools, tool_rows

LONGEST = 4.0
"""Lengths count up to so many times the reference's mean."""
REWARD = "reward"


class BehaviourLook(msgspec.Struct, frozen=True, kw_only=True):
    """One behaviour of a version against its reference, at one look."""

    name: str
    """The behaviour; `tools:NAME` is the share of a tool."""
    rate: float
    """Mean of the version's answers."""
    reference: float
    """Mean of the reference's."""
    low: float | None
    """Lower end of the interval of the difference that holds at all looks; None before there is one."""
    high: float | None
    """Upper end."""
    users: int
    """Users of the smaller side."""
    bar: float
    """What the difference may not pass."""
    passed: bool
    """Whether it is shown to have passed it."""
    why: str = ""
    """Why the bar is not the one of the settings; empty where it is."""
    reference_error: float | None = None
    """Standard error of the reference's mean; None before there is one."""

    @property
    def difference(self) -> float:
        """The version's mean above the reference's."""
        return self.rate - self.reference

    @property
    def beyond(self) -> bool:
        """Whether the difference itself is past the bar, shown or not."""
        return self.excess > 0.0

    @property
    def excess(self) -> float:
        """By how much the difference is past the bar; below 0 before it."""
        if self.name.startswith("tools:"):
            return abs(self.difference) - self.bar
        return self.difference - self.bar if self.bar > 0 else self.bar - self.difference

    @property
    def said(self) -> str:
        """In words.

        >>> BehaviourLook(name="asks", rate=0.6, reference=0.1, low=0.3, high=0.7, users=80, bar=0.1,
        ...               passed=True).said
        'asks 0.600 against 0.100 (+0.500, bar +0.1, 80 users)'
        """
        return (
            f"{self.name} {self.rate:.3f} against {self.reference:.3f} ({self.difference:+.3f},"
            f" bar {self.told_bar}, {self.users} users)"
        )

    @property
    def told_bar(self) -> str:
        """The bar in words."""
        return f"{self.bar:+.3g}, {self.why}" if self.why else f"{self.bar:+.3g}"


class DriftLook(msgspec.Struct, frozen=True, kw_only=True):
    """All that is compared of a version at one look."""

    version: str
    """The version."""
    against: str
    """What it is held against, in words."""
    at: float
    """Epoch seconds."""
    answers: int
    """Its answers that were looked at."""
    reward: float | None
    """Mean of its rewards, of answers past their horizon; None before there are any."""
    reference_reward: float | None
    """Likewise of the reference."""
    behaviours: tuple[BehaviourLook, ...] = ()
    """Each behaviour that both sides have."""
    phrases: tuple[str, ...] = ()
    """Phrases that grew, with their rates, in words."""
    phrase_answers: tuple[str, ...] = ()
    """Answers that say most of them, by generation id."""
    phrase_looks: int = 0
    """How often phrases were looked for; each time takes half of the alpha that is left."""
    reward_high: float | None = None
    """Upper bound of the difference of the rewards that holds at all looks; None before there is one."""
    total: bool = False
    """Whether it is held against what stays the same from version to version."""

    @property
    def reward_stands(self) -> bool:
        """Whether both rewards are known and the version's is not shown to be below the reference's.

        That its mean is the higher one is not asked: of two versions of equal worth chance would say so
        of one half, and the other half would never be alarmed at.
        """
        known = self.reward is not None and self.reference_reward is not None
        return known and (self.reward_high is None or self.reward_high >= 0.0)


class _Asked(NamedTuple):
    name: str
    bar: float
    ours: list[DriftRow]
    theirs: list[DriftRow]
    alpha: float
    two_sided: bool = False


def compare(
    ours: Sequence[DriftAnswer],
    theirs: Sequence[DriftAnswer],
    settings: WatchSettings,
    *,
    alpha: float,
    concurrent: bool = True,
    least: int | None = None,
) -> tuple[BehaviourLook, ...]:
    """Return what is shown of each bar but the phrases'; nothing of what one side does not have.

    `alpha` is divided among the bars, the phrases' too, and of the tools among them (Bonferroni). Sides
    that were not served at the same time are compared as if both had the same mix of segments, over those
    of `least` users on both sides, `settings.users` where it is None.
    """
    least = settings.users if least is None else least
    part = alpha / max(1, len(settings.watched))
    found = []
    for asked in _asked(ours, theirs, settings, part):
        sides = asked.ours, asked.theirs
        if not concurrent:
            sides = same_mix(*sides, least)
        if asked.name == "length":
            sides = _relative(*sides)
        means = [ratio_mean(UserSums.of(one[:3] for one in rows)) for rows in sides]
        if means[0].users and means[1].users:
            found.append(_looked(asked, means[0], means[1], settings))
    return tuple(found)


def _asked(
    ours: Sequence[DriftAnswer],
    theirs: Sequence[DriftAnswer],
    settings: WatchSettings,
    alpha: float,
) -> Iterator[_Asked]:
    for name, bar in settings.watched.items():
        if name == "phrases":
            continue
        if name == "length":
            yield _Asked(name, bar / LONGEST, _lengths(ours), _lengths(theirs), alpha)
        elif name == "tools":
            tools = first_tools(ours, theirs)
            for tool in tools:
                sides = [tool_rows(one, tool) for one in (ours, theirs)]
                yield _Asked(f"tools:{tool}", bar, sides[0], sides[1], alpha / MOST_TOOLS / 2, True)
        else:
            yield _Asked(name, bar, _rows(ours, name), _rows(theirs, name), alpha)


def _rows(answers: Sequence[DriftAnswer], name: str) -> list[DriftRow]:
    return [
        DriftRow(one.user, value, 1.0, one.segment)
        for one in answers
        if (value := _value(one, name)) is not None
    ]


def _value(answer: DriftAnswer, name: str) -> float | None:
    if name == "keep_rate":
        return answer.kept
    if name == "edit_rate":
        return None if answer.reward is None else float(answer.edited)
    if name == "empty":
        return float(answer.empty)
    # A count counts once: what is compared is the share of answers that do it.
    found = answer.behaviours.get(name)
    return None if found is None else min(1.0, found)


def _lengths(answers: Sequence[DriftAnswer]) -> list[DriftRow]:
    return [
        DriftRow(one.user, float(one.tokens), 1.0, one.segment)
        for one in answers
        if one.tokens is not None
    ]


def _relative(
    ours: Sequence[DriftRow], theirs: Sequence[DriftRow]
) -> tuple[list[DriftRow], list[DriftRow]]:
    """Return lengths in [0, 1]: 1 is `LONGEST` times the mean of the reference's that said anything."""
    said = [one for one in theirs if one.total]
    if not said:
        return [], []
    most = mean_of(said) * LONGEST

    def relative(rows: Sequence[DriftRow]) -> list[DriftRow]:
        return [
            one._replace(total=min(1.0, one.total / one.over / most) * one.over) for one in rows
        ]

    return relative(ours), relative(theirs)


def _looked(asked: _Asked, ours: Mean, theirs: Mean, settings: WatchSettings) -> BehaviourLook:
    difference = ours.estimate - theirs.estimate
    error = math.sqrt(ours.variance + theirs.variance)
    users = min(ours.users, theirs.users)
    low = high = known = None
    passed = False
    if math.isfinite(error):
        known = math.sqrt(theirs.variance)
        both = 2 * ours.users * theirs.users / (ours.users + theirs.users)
        errors = width(both, settings.planned_users, asked.alpha)
        low, high = difference - errors * error, difference + errors * error
        halved = is_halved(ours, theirs, errors)
        passed = is_passed(asked.bar, low, high, two_sided=asked.two_sided, halved=halved)
    bar, why = bar_of(asked.bar, theirs.estimate)
    return BehaviourLook(
        name=asked.name,
        rate=ours.estimate,
        reference=theirs.estimate,
        low=low,
        high=high,
        users=users,
        bar=bar,
        passed=passed and users >= settings.users,
        why=why,
        reference_error=known,
    )
