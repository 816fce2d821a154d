"""Chain: the answers of a session or a reference, and which of them an act reaches. Pure.

The same answers and act give the same weights, in whatever order they were read.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ..events.episode import Attribution, AttributionRule

MOST_ANSWERS = 256
"""Most answers of a chain, from the last one back, that one act reaches."""


class ChainKey(NamedTuple):
    """One chain: those of one tenant are not those of another."""

    tenant: str
    """To whom its answers were served."""
    key: str
    """Key of the reference; empty for a session."""
    value: str
    """Name of the session, or which thing of that key."""

    def __str__(self) -> str:
        return f"{self.key or 'session'} {self.value}"


class ChainAnswer(NamedTuple):
    """One answer of a chain."""

    generation_id: str
    """Which."""
    received: float
    """When its record was received, epoch seconds."""
    user_hash: str = ""
    """To whom."""
    user_named: bool = True
    """False where the product named nobody."""
    through: str = ""
    """For a subagent's answer the one of the chain that started it."""


class ChainAct(NamedTuple):
    """What was done, as far as it says whom and what it may be about."""

    acted: float
    """When, epoch seconds, by the clock of whoever says so."""
    received: float
    """When that was received."""
    user_hash: str = ""
    """To whom the answers were given; empty where the act does not say."""
    one_person: bool = True
    """Whether it is about answers to one person: so is a session, and no reference needs to be."""


def reached(
    answers: Collection[ChainAnswer], act: ChainAct, rule: AttributionRule
) -> dict[str, Attribution]:
    """Return how an act reaches the answers of a chain; empty where it reaches none.

    - The last answer is the last one received before the act; before its receipt where a clock has
      the act before all of them.
    - Where an act on a session names no person, it is about answers to whom the last one was given.
    - Weights are the rule's: of n answers under a discount g they sum to (1 - g^n) / (1 - g).
    - A subagent's answers have the weight of the answer that started it, and the rule `last` reaches
      none of them. They make no way longer.
    """
    own = [one for one in answers if not one.through and _is_of(one, act.user_hash)]
    until = min(act.acted, act.received)
    before = [one for one in own if one.received <= until]
    if not before:
        until = act.received
        before = [one for one in own if one.received <= until]
    if not before:
        return {}
    before.sort(key=lambda one: (one.received, one.generation_id), reverse=True)
    person = act.user_hash or (before[0].user_hash if act.one_person else "")
    return _weighed(answers, before, until, person, rule)


def reached_before(
    answers: Collection[ChainAnswer], named: str, act: ChainAct, rule: AttributionRule
) -> dict[str, Attribution]:
    """Return how an act on one answer reaches the chain up to it, but for that answer itself.

    The answers to the same person that were received before it, by the rule from it on back; those of
    subagents up to the act with the weight of the answer that started them, those of its own among them.
    """
    last = next((one for one in answers if one.generation_id == named and not one.through), None)
    if last is None:
        return {}
    at = (last.received, named)
    before = [
        one
        for one in answers
        if not one.through
        and (one.received, one.generation_id) <= at
        and one.user_hash == last.user_hash
    ]
    before.sort(key=lambda one: (one.received, one.generation_id), reverse=True)
    until = max(last.received, min(act.acted, act.received))
    found = _weighed(answers, before, until, last.user_hash, rule)
    del found[named]
    return found


def _weighed(
    answers: Collection[ChainAnswer],
    before: Sequence[ChainAnswer],
    until: float,
    person: str,
    rule: AttributionRule,
) -> dict[str, Attribution]:
    """Return the weights of a chain's answers; `before` is in order, the last one first."""
    found = dict[str, Attribution]()
    for steps, one in enumerate([one for one in before if _is_of(one, person)][:MOST_ANSWERS]):
        if weight := rule.weight(steps):
            found[one.generation_id] = Attribution(rule=rule.name, weight=weight, steps=steps)
    if rule.name == "last":
        return found
    return found | {
        one.generation_id: Attribution(
            rule=rule.name, weight=started.weight, steps=started.steps, through=one.through
        )
        for one in sorted(answers)
        if (started := found.get(one.through)) is not None
        and one.received <= until
        and (not one.user_named or _is_of(one, person))
    }


def _is_of(answer: ChainAnswer, user_hash: str) -> bool:
    return not user_hash or answer.user_hash == user_hash
