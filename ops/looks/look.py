"""Look: what one look at a rollout showed, as it is kept after the answers are gone."""

import math

import msgspec

from ..rollout.observe import Comparing
from ..stages.record import Rollout
from ..statistics.guardrail import Observation, split_e_value
from ..statistics.metric import harm_alphas
from ..statistics.metric_look import MetricLook
from ..statistics.readout import Readout

REASON_LETTERS = 400


class MetricPoint(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One metric at one look. `change`, `low` and `high` are relative to the control: -0.1 is -10 %."""

    name: str
    """The metric's."""
    kind: str
    """superior, non-inferior or guard."""
    margin: float
    """Relative difference that a goal is tested against; for a guard its tolerance."""
    direction: str
    """higher or lower: which way is better."""
    candidate: float | None
    """Mean of the candidate; None where it has none."""
    control: float | None
    """Mean of the control."""
    users: int
    """Users of the smaller variant."""
    change: float | None
    """Relative difference; None where the control has no value."""
    low: float | None
    """Lower bound of `change`, valid at all looks together; None while it is endless."""
    high: float | None
    """Upper bound."""
    harm: bool
    """Whether it is shown to be worse than tolerated."""
    shown: bool
    """Whether the goal is shown; for a guard, whether no harm is."""
    alpha: float
    """The metric's part of the alpha for harm."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the rollout of one version."""

    at: float
    """Epoch seconds."""
    stage: str
    """Stage that was looked at."""
    step: int
    """Index into the steps."""
    outcome: str
    """The verdict: PASS, FAIL, WAIT or NODATA."""
    reason: str
    """Its reasons, cut after 400 letters."""
    exposed: tuple[int, int]
    """Named users who were served candidate and control."""
    e_value: float
    """Against an equal split of users; 1 / srm_alpha or more says that it is broken."""
    srm_alpha: float
    """Probability that a right split is called wrong."""
    alpha_promote: float
    """Of every interval here: it is one-sided, and holds at all looks together."""
    planned_users: int
    """Users per variant at which those intervals are tightest."""
    harm_planned_users: int
    """Users per variant at which the test for harm is."""
    harm_users: int = 30
    """Users per variant from which on harm is looked for."""
    metrics: tuple[MetricPoint, ...] = ()
    """In the order of the settings."""
    since_promotion: tuple[MetricPoint, ...] = ()
    """While a promoted version bakes: of the answers since its promotion alone."""


def look_of(
    rollout: Rollout,
    after: Rollout,
    seen: Observation,
    since_promotion: Observation | None,
    comparing: Comparing,
    now: float,
    *,
    srm_alpha: float,
) -> Look:
    """Return what a look at a rollout showed; `after` has its verdict, and maybe has moved."""
    looks, new = comparing.looks, None
    if since_promotion is not None:
        new = since_promotion.readout
    return Look(
        at=now,
        stage=str(rollout.stage),
        step=rollout.step,
        outcome=str(after.verdict.outcome),
        reason=after.verdict.reason[:REASON_LETTERS],
        exposed=(seen.candidate.exposed_users, seen.control.exposed_users),
        e_value=split_e_value(seen),
        srm_alpha=srm_alpha,
        alpha_promote=looks.alpha_promote,
        planned_users=looks.promote_planned_users,
        harm_planned_users=looks.harm_planned_users,
        harm_users=looks.harm_users,
        metrics=points(seen.readout, comparing, looks.alpha_harm),
        since_promotion=points(new, comparing, looks.alpha_harm / 2),
    )


def points(
    readout: Readout | None, comparing: Comparing, alpha_harm: float
) -> tuple[MetricPoint, ...]:
    """Return a readout's metrics; `alpha_harm` is that of all of them together."""
    if readout is None:
        return ()
    alphas = harm_alphas(comparing.metrics, alpha_harm)
    return tuple(_point(look, alphas[look.metric.name]) for look in readout.looks)


def _point(look: MetricLook, alpha: float) -> MetricPoint:
    metric = look.metric
    return MetricPoint(
        name=metric.name,
        kind=metric.kind,
        margin=metric.margin if metric.goal else metric.tolerance,
        direction=metric.definition.direction,
        candidate=_finite(look.candidate),
        control=_finite(look.control),
        users=look.users,
        change=_finite(look.change),
        low=_finite(look.low),
        high=_finite(look.high),
        harm=look.harm,
        shown=look.shown,
        alpha=alpha,
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
