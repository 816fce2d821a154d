"""Pace: days until a batch fills, and until a version can be told from its control (the planner's statistics)."""

import math

import msgspec

from ..stages.settings import RolloutSettings
from ..statistics.metric import harm_alphas
from ..statistics.planner import Plan, PlannedRollout, plan
from .people_and_sessions import PersonTally
from .tally import DAY, SeenTime, SegmentTally

ENOUGH = 30
"""DecidedRequest answers of named people below which no rollout is planned."""
USUAL_CORRELATION = 0.1
"""Of two outcomes of one person, as `rlwd plan` takes it, where it cannot be measured."""


class PaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a version waits for."""

    episodes: int
    """Ready answers that a batch is sealed of."""
    at_most: int
    """Most that it takes."""
    rollout: RolloutSettings
    """How a candidate meets people."""
    lift: float
    """Relative improvement that is hoped for."""
    patience_days: float
    """Longest that one would wait."""


class PaceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How fast versions can follow one another. Days are None where it never happens in `patience_days`."""

    decided_day: float
    """DecidedRequest answers a day that may be learned from, of all users."""
    fill_days: float | None
    """Days until `batch.episodes` of them are there."""
    users_day: float
    """People a day who decide."""
    answers_per_user: float
    """DecidedRequest answers of one of them in a day."""
    correlation: float
    """Of two outcomes of one person: measured, or 0.1 where too few decided twice."""
    new_share: float
    """Share of a day's people who were not there before."""
    tell_days: float | None
    """Days until half of the versions with the hoped-for lift are shown to be better than their control."""
    tell_users: float | None
    """People in each variant by then."""
    promote_days: float | None
    """Days until half of them are shown to be not worse by the margin: then rlwd promotes."""
    harm_days: float | None
    """Days until half of the versions that lose a tenth are found."""
    smallest_lift: float | None
    """Smallest lift that 4 of 5 rollouts show within `patience_days`, relative."""
    floor_days: float
    """Days that a version takes whatever comes in: gate and least times of the steps."""
    deadline_days: float
    """Days after which a rollout ends without a decision, by `rollout.deadline_seconds`."""
    why: str
    """Why no rollout could be planned; empty where one was."""


def pace_of(
    tally: SegmentTally,
    seen: SeenTime,
    recorded: float,
    asked: PaceSettings,
    horizon_seconds: float,
) -> PaceFacts:
    """Return the pace of a tally, as if it were a policy of its own."""
    days = max(seen.days, 1.0)
    decided_day = tally.decided / days / recorded
    people = [one for one in tally.people.values() if one.count]
    person_days = sum(one.decided_days.bit_count() for one in people)
    users_day = person_days / days / recorded
    per_user = sum(one.count for one in people) / person_days if person_days else 0.0
    correlation, fresh = correlation_of(people), _new_share(people, days)
    found, why = _planned(
        tally, users_day, max(per_user, 1.0), correlation, fresh, asked, horizon_seconds / DAY
    )
    rollout = asked.rollout
    floor = (rollout.gate_seconds + len(rollout.steps) * rollout.step_seconds) / DAY
    facts = PaceFacts(
        decided_day=decided_day,
        fill_days=asked.episodes / decided_day if decided_day else None,
        users_day=users_day,
        answers_per_user=per_user,
        correlation=correlation,
        new_share=fresh,
        tell_days=None,
        tell_users=None,
        promote_days=None,
        harm_days=None,
        smallest_lift=None,
        floor_days=floor,
        deadline_days=rollout.deadline_seconds / DAY,
        why=why,
    )
    if found is None:
        return facts
    planned, outcome = found
    return msgspec.structs.replace(
        facts,
        tell_days=_finite(planned.days_for(outcome.superior_users)),
        tell_users=_finite(outcome.superior_users),
        promote_days=_finite(planned.days_for(outcome.promote_users)),
        harm_days=_finite(planned.days_for(outcome.harm_users)),
        smallest_lift=_finite(outcome.smallest_effect),
    )


def _planned(
    tally: SegmentTally,
    users_day: float,
    per_user: float,
    correlation: float,
    fresh: float,
    asked: PaceSettings,
    horizon_days: float,
) -> tuple[tuple[PlannedRollout, Plan] | None, str]:
    """Return the rollout and what to expect of it, or why none can be planned."""
    count = sum(one.count for one in tally.people.values())
    if count < ENOUGH:
        return None, f"{count} decided answers of named people; {ENOUGH} are needed"
    base = tally.reward / tally.decided
    if not 0.0 < base < 1.0:
        return None, f"the mean reward is {base:g}: it leaves nothing to compare"
    if horizon_days >= asked.patience_days:
        return None, f"an answer counts after {horizon_days:.3g} days, and patience_days is shorter"
    rollout = asked.rollout
    planned = PlannedRollout(
        # Above 1 nothing rises.
        lift=min(asked.lift, 1.0 / base - 1.0),
        base=base,
        users_per_day=users_day,
        share=rollout.steps[-1],
        margin=next((m.margin for m in rollout.metrics if m.name == "reward"), rollout.margin),
        days=asked.patience_days,
        answers_per_user=per_user,
        correlation=correlation,
        new_share=fresh,
        horizon_days=horizon_days,
    )
    alphas = harm_alphas(rollout.metrics, rollout.guardrail.alpha_harm)
    alpha = alphas.get("reward", rollout.guardrail.alpha_harm)
    return (planned, plan(planned, rollout.looks, alpha_harm=alpha)), ""


def correlation_of(people: list[PersonTally]) -> float:
    """Return the correlation of two rewards of one person: the intraclass correlation, by ANOVA.

    In [0, 0.99]; USUAL_CORRELATION where fewer than 30 answers are from people who have several.
    """
    count = sum(one.count for one in people)
    several = sum(one.count for one in people if one.count > 1)
    if several < ENOUGH or len(people) < 2 or count <= len(people):
        return USUAL_CORRELATION
    mean = sum(one.total for one in people) / count
    between = sum(one.count * (one.total / one.count - mean) ** 2 for one in people)
    within = sum(one.squares - one.total**2 / one.count for one in people)
    ms_between = between / (len(people) - 1)
    ms_within = within / (count - len(people))
    size = (count - sum(one.count**2 for one in people) / count) / (len(people) - 1)
    total = ms_between + (size - 1) * ms_within
    return min(max((ms_between - ms_within) / total, 0.0), 0.99) if total > 0 else USUAL_CORRELATION


def _new_share(people: list[PersonTally], days: float) -> float:
    """Return the share of a day's deciders who had not decided on the days before; 1 of a single day."""
    if days < 2.0:
        return 1.0
    later = sum((one.decided_days >> 1).bit_count() for one in people)
    new = sum(not one.decided_days & 1 for one in people)
    return max(new / later, 0.001) if later else 1.0


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
