"""Spread reach: which of what was said of single answers reaches which answers before them. Pure.

An answer has at most so much of one kind that others have: else ratings of a long session's every turn
would each stand with every turn before it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..events.episode import Attribution, AttributionRule
from ..events.event import Feedback
from ..events.signals import Signal, kind_of
from .chain import ChainAct, ChainAnswer, reached_before

MOST_OF_A_KIND = 50
"""Most of one kind, said of other answers, that reaches an answer: what weighs most there, and of what
weighs the same the last received."""

SpreadOf = Callable[[Signal], AttributionRule | None]
"""What the reward spec says of a signal that names an answer; None where it stays with that."""


class PostedOnAnswer(NamedTuple):
    """One feedback that names an answer."""

    feedback: Feedback
    """What it says."""
    acted: float
    """When the person acted, epoch seconds."""
    received: float
    """When it was received."""
    place: tuple[str, int, int]
    """Topic, partition and offset of its record."""

    def named(self) -> str:
        """Return the name of a copy of it."""
        return f"answer {self.feedback.generation_id}:{self.feedback.feedback_id}"


class ReachesBack(NamedTuple):
    """One feedback, as it reaches one answer."""

    generation_id: str
    """The answer."""
    said: PostedOnAnswer
    """What was said, of another one."""
    attribution: Attribution
    """How it reaches this one."""


def reaching(
    answers: Sequence[ChainAnswer],
    said: Mapping[str, Sequence[PostedOnAnswer]],
    rule_of: SpreadOf,
) -> Iterator[ReachesBack]:
    """Yield what was `said` of the answers of a session, by answer, as it reaches those before it.

    Of a kind each answer has at most `MOST_OF_A_KIND`, the same whatever came first.
    """
    ruled = defaultdict[tuple[str, AttributionRule], list[PostedOnAnswer]](list)
    for each in said.values():
        for one in each:
            if (rule := rule_of(one.feedback.signal)) is not None:
                ruled[kind_of(one.feedback.signal), rule].append(one)
    found = defaultdict[tuple[str, str], list[ReachesBack]](list)
    for (kind, rule), posts in ruled.items():
        for told in _by_rule(answers, posts, rule):
            found[told.generation_id, kind].append(told)
    for each_of_kind in found.values():
        if len(each_of_kind) > MOST_OF_A_KIND:
            each_of_kind.sort(key=_preferred, reverse=True)
        yield from each_of_kind[:MOST_OF_A_KIND]


def _preferred(one: ReachesBack) -> tuple[float, float, str]:
    return one.attribution.weight, one.said.received, one.said.named()


def _by_rule(
    answers: Sequence[ChainAnswer], posts: Sequence[PostedOnAnswer], rule: AttributionRule
) -> Iterator[ReachesBack]:
    """Yield what is of one rule, for each answer what it is to have first, and no more than that."""
    place = {one.generation_id: (one.received, one.generation_id) for one in answers}
    ordered = sorted(
        (one for one in posts if one.feedback.generation_id in place),
        key=lambda one: (one.received, one.named()),
        reverse=True,
    )
    if rule.name == "discount":
        # The nearest weighs most: for every answer that is the earliest of those after it.
        ordered.sort(key=lambda one: place[one.feedback.generation_id])
    timed = any(one.through for one in answers)
    known = dict[tuple[str, float], dict[str, Attribution]]()
    count, full = defaultdict[str, int](int), set[str]()
    for one in ordered:
        name, act = one.feedback.generation_id, ChainAct(one.acted, one.received)
        key = name, min(one.acted, one.received) if timed else 0.0
        if key not in known:
            known[key] = reached_before(answers, name, act, rule)
        for other in known[key].keys() - full:
            yield ReachesBack(other, one, known[key][other])
            count[other] += 1
            if count[other] == MOST_OF_A_KIND:
                full.add(other)
