"""Readout: all metrics of a rollout at one look, and the verdict that follows."""

import math
from dataclasses import dataclass

from .answers import Answers, ComparisonSettings
from .look_settings import LookSettings
from .metric import KNOWN, MetricSettings, harm_alphas
from .metric_look import MetricLook, look_at, means_of
from .sequential_tests import Mean
from .verdict import Verdict, VerdictKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """One look at a rollout by all its metrics."""

    looks: tuple[MetricLook, ...]
    """Metrics with a value, in the order of the settings."""
    verdict: Verdict
    """What follows from them."""
    rewards: tuple[Mean, Mean] | None
    """Mean rewards of candidate and control, like compared with like; None where no answer has one."""
    held: bool
    """Whether a metric that only holds has shown harm: no step and no promotion, and no blame."""


def read_out(
    metrics: tuple[MetricSettings, ...],
    candidate: Answers,
    control: Answers,
    *,
    now: float,
    comparison: ComparisonSettings,
    settings: LookSettings,
) -> Readout:
    """Return every metric at this look and the verdict from all of them.

    FAIL where a metric with `on_harm = "rollback"` shows harm. WAIT while one with "hold" does, or
    until every goal is shown and every own number was seen in both variants; PASS then. NODATA where no metric has a value of the candidate.
    """
    alphas = harm_alphas(metrics, settings.alpha_harm)
    looks = tuple(
        look
        for metric in metrics
        if (
            look := look_at(
                metric,
                candidate,
                control,
                now,
                comparison,
                settings,
                alpha_harm=alphas[metric.name],
            )
        )
        is not None
    )
    return Readout(
        looks=looks,
        verdict=_verdict(metrics, looks),
        rewards=means_of(KNOWN["reward"], candidate, control, now, comparison),
        held=bool(_harmed(looks, "hold")),
    )


def _verdict(metrics: tuple[MetricSettings, ...], looks: tuple[MetricLook, ...]) -> Verdict:
    numbers = dict(item for look in looks for item in _numbers(look))

    def answer(outcome: VerdictKind, *reasons: str) -> Verdict:
        return Verdict(outcome=outcome, reasons=reasons, numbers=numbers)

    if not any(look.users for look in looks):
        return answer(VerdictKind.NODATA, "no named user has an answer that counts yet")
    if failed := _harmed(looks, "rollback"):
        return answer(VerdictKind.FAIL, *(f"harm: {_sentence(look)}" for look in failed))
    if held := _harmed(looks, "hold"):
        return answer(VerdictKind.WAIT, *(f"held: {_sentence(look)}" for look in held))
    goals = [metric.name for metric in metrics if metric.goal]
    shown = {look.metric.name: look for look in looks if look.shown}
    measured = {look.metric.name for look in looks if look.users}
    # A guard that nothing feeds would pass everybody; a product's own may be misspelt.
    unfed = [metric.name for metric in metrics if metric.own and metric.name not in measured]
    if missing := [*(name for name in goals if name not in shown), *unfed]:
        known = {look.metric.name: look for look in looks}
        open_goals = [_open(name, known.get(name)) for name in dict.fromkeys(missing)]
        return answer(VerdictKind.WAIT, *open_goals)
    if not goals:
        return answer(VerdictKind.WAIT, "no metric is a goal: nothing can promote")
    return answer(VerdictKind.PASS, *(_sentence(shown[name]) for name in goals))


def _harmed(looks: tuple[MetricLook, ...], action: str) -> list[MetricLook]:
    return [look for look in looks if look.harm and look.metric.on_harm == action]


def _sentence(look: MetricLook) -> str:
    bounds = f"between {look.low:+.1%} and {look.high:+.1%}"
    if not math.isfinite(look.low + look.high):
        bounds = "no bounds yet"
    return (
        f"{look.metric.name} {look.candidate:.4g} against {look.control:.4g} of the control"
        f" ({look.change:+.1%}, {bounds}), {look.users} users per variant or more"
    )


def _open(name: str, look: MetricLook | None) -> str:
    if look is None:
        return f"{name}: no answer carries it"
    if not look.users:
        return f"{name}: no answer of a named user counts yet in one of the variants"
    return f"not shown yet: {_sentence(look)}, {look.metric.kind} by {look.metric.margin:.1%}"


def _numbers(look: MetricLook) -> list[tuple[str, float]]:
    name = look.metric.name
    found = {
        f"{name}/candidate": look.candidate,
        f"{name}/control": look.control,
        f"{name}/change": look.change,
        f"{name}/low": look.low,
        f"{name}/high": look.high,
        f"{name}/users": float(look.users),
    }
    return [item for item in found.items() if math.isfinite(item[1])]
