"""Metric look: one metric of candidate and control at one look, and what is shown of it."""

import math
from dataclasses import dataclass

import numpy as np

from .adjusted_mean import adjusted_means
from .answers import Answers, ComparisonSettings
from .cohort import cohort
from .look_settings import LookSettings
from .metric import MetricDefinition, MetricSettings
from .sequential_tests import Mean, width


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLook:
    """What one look shows of one metric.

    Differences are relative to the size of the control, so -0.1 is -10 %, and -11 against -10 is.
    """

    metric: MetricSettings
    """What was asked of it."""
    candidate: float
    """Mean of the candidate; for a quantile the share of its answers above the control's."""
    control: float
    """Likewise of the control."""
    users: int
    """Users of the smaller variant."""
    change: float
    """Relative difference; nan where the control has no value."""
    low: float
    """Lower bound of `change`, at all looks with probability 1 - alpha_promote; -inf where the
    control's own bound reaches 0."""
    high: float
    """Upper bound of `change`, likewise."""
    standard_error: float
    """Of `change`; inf with fewer than two users in a variant."""
    harm: bool
    """Whether the candidate is shown to be worse by more than the tolerance."""
    shown: bool
    """Whether the goal is shown; True for a guard that shows no harm."""


def look_at(
    metric: MetricSettings,
    candidate: Answers,
    control: Answers,
    now: float,
    comparison: ComparisonSettings,
    settings: LookSettings,
    *,
    alpha_harm: float,
) -> MetricLook | None:
    """Return what is shown of one metric; None where no answer carries its number.

    `alpha_harm` is the metric's own part. Each test is of a contrast that is linear in both means,
    candidate - control + margin * |control|; a mean's bounds are those of the margins it shows.
    """
    asked = metric.definition
    means = means_of(asked, candidate, control, now, comparison)
    if means is None:
        return None
    better = 1.0 if asked.direction == "higher" else -1.0
    margin = -metric.margin if metric.kind == "superior" else metric.margin
    worse, goal, exact = means, means, asked.quantile is not None
    if exact:
        # The margins are in the thresholds, and the shares above them are compared as they are.
        worse = means_of(asked, candidate, control, now, comparison, metric.tolerance) or means
        goal = means_of(asked, candidate, control, now, comparison, margin) or means
    users = min(each.users for each in means)
    harm = _contrast(worse, better, 0.0 if exact else metric.tolerance)
    passed = _contrast(goal, better, 0.0 if exact else margin)
    is_harm = users >= settings.harm_users and (
        harm[0] + metric.allowance + _reach(worse, harm[1], alpha_harm, settings.harm_planned_users)
        < 0
    )
    is_shown = users >= settings.promote_users and (
        passed[0] - _reach(goal, passed[1], settings.alpha_promote, settings.promote_planned_users)
        > 0
    )
    change, low, high, error = _interval(means, settings)
    return MetricLook(
        metric=metric,
        candidate=means[0].estimate,
        control=means[1].estimate,
        users=users,
        change=change,
        low=low,
        high=high,
        standard_error=error,
        harm=is_harm,
        shown=is_shown and not is_harm if metric.goal else not is_harm,
    )


def means_of(
    asked: MetricDefinition,
    candidate: Answers,
    control: Answers,
    now: float,
    comparison: ComparisonSettings,
    margin: float = 0.0,
) -> tuple[Mean, Mean] | None:
    """Return both means; for a quantile, the shares above the control's quantile.

    The candidate's answers are held against the control's quantile times 1 + margin, the control's
    against the quantile itself. At the margin both shares have the same expectation, and the
    control's spread stands for that of its quantile (Woodruff, JASA 47, 1952), so the bounded
    shares are compared as means are.
    """
    above = [None, None] if asked.quantile is None else _thresholds(asked, control, now, margin)
    cohorts = [
        cohort(each, asked, now, comparison, above=threshold)
        for each, threshold in zip((candidate, control), above, strict=True)
    ]
    if cohorts[0] is None or cohorts[1] is None:
        return None
    bounded = asked.bounded or asked.quantile is not None
    return adjusted_means(cohorts[0], cohorts[1], comparison, bounded=bounded)


def _thresholds(
    asked: MetricDefinition, control: Answers, now: float, margin: float
) -> list[float | None]:
    value = control.column(asked.value)
    assert asked.quantile is not None
    if value is None:
        return [None, None]
    rows = control.counted(now, matured=asked.matured) & np.isfinite(value)
    if not rows.any():
        return [0.0, 0.0]
    quantile = float(np.quantile(value[rows], asked.quantile))
    worse = margin * abs(quantile)
    return [quantile + worse if asked.direction == "lower" else quantile - worse, quantile]


def _contrast(means: tuple[Mean, Mean], better: float, margin: float) -> tuple[float, float]:
    """Return candidate - factor * control, with its sign such that more is better, and its error."""
    ours, theirs = means
    factor = 1 - better * margin * math.copysign(1.0, theirs.estimate)
    error = math.sqrt(ours.variance + factor * factor * theirs.variance)
    return better * (ours.estimate - factor * theirs.estimate), error


def _reach(means: tuple[Mean, Mean], error: float, alpha: float, planned: int) -> float:
    """Return how far a one-sided bound lies from its estimate."""
    users = 2 * means[0].users * means[1].users / max(1, means[0].users + means[1].users)
    return width(users, planned, alpha) * error if math.isfinite(error) else math.inf


def _interval(
    means: tuple[Mean, Mean], settings: LookSettings
) -> tuple[float, float, float, float]:
    """Return the relative difference, its bounds, and its error, by the delta method for a ratio.

    The bounds are Fieller's (JRSS B 16, 1954): the factors f at which candidate - f * control is
    neither shown to be above 0 nor below it. There are none where the control may be 0.
    """
    ours, theirs = means
    if not theirs.estimate or not math.isfinite(theirs.estimate + ours.estimate):
        return math.nan, -math.inf, math.inf, math.inf
    sign, ratio = math.copysign(1.0, theirs.estimate), ours.estimate / theirs.estimate
    change = sign * (ratio - 1)
    error = math.sqrt(ours.variance + ratio * ratio * theirs.variance) / abs(theirs.estimate)
    if not math.isfinite(error):
        return change, -math.inf, math.inf, error
    reach = _reach(means, 1.0, settings.alpha_promote, settings.promote_planned_users)
    square = theirs.estimate**2
    left = square - reach**2 * theirs.variance
    if left <= 0:
        return change, -math.inf, math.inf, error
    product = ours.variance * theirs.variance
    half = reach * math.sqrt(
        max(0.0, ours.variance * square + theirs.variance * ours.estimate**2 - reach**2 * product)
    )
    ends = [sign * ((ours.estimate * theirs.estimate + side * half) / left - 1) for side in (-1, 1)]
    return change, min(ends), max(ends), error
