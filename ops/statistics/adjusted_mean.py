"""Adjusted mean: a metric's mean in each variant, post-stratified, with the users' past taken out."""

import math

import numpy as np

from .answers import ComparisonSettings, Floats
from .cohort import Cohort, aligned
from .sequential_tests import Mean

COVARIATE_USERS = 30
"""Users with a past, per variant, from which on the past is used."""


def adjusted_means(
    candidate: Cohort, control: Cohort, settings: ComparisonSettings, *, bounded: bool
) -> tuple[Mean, Mean]:
    """Return candidate's and control's means over the same mix of strata.

    The mean of a variant is sum_s w_s r_s: r_s its ratio of sums in stratum s, w_s the share of s
    in both variants' values together (post-stratification). So a candidate that is used more in a
    hard segment is not blamed for the segment. The variance is over users, by the delta method:
    user u adds psi_u = sum_s w_s (Y_us - r_s N_us) / mean_u(N_us), as in `ratio_mean`.

    CUPED (Deng, Xu, Kohavi and Walker, WSDM 2013): psi is regressed on the users' earlier mean
    reward, the slope pooled over both variants; users without a past count as average. Assignment
    is random and knows nothing of the past, so this only removes noise.

    One more user is added to each spread, as in `ratio_mean`: half a unit off where values are
    bounded by 1, else half the mean off, with the users' means winsorized at their pooled 99 %
    quantile, because few heavy values would carry an unbounded mean.
    """
    if min(candidate.users, control.users) < 2:
        return _unknown(candidate), _unknown(control)
    pair = aligned(candidate, control, settings)
    if not bounded:
        pair = _winsorized(*pair)
    counts = [each.n.sum(axis=0) for each in pair]
    weight = (counts[0] + counts[1]) / (counts[0].sum() + counts[1].sum())
    weight = np.where((counts[0] > 0) & (counts[1] > 0), weight, 0.0)
    if not weight.sum():
        return _unknown(candidate), _unknown(control)
    weight = weight / weight.sum()
    ratios = [
        np.divide(each.y.sum(axis=0), count, out=np.zeros_like(count), where=count > 0)
        for each, count in zip(pair, counts, strict=True)
    ]
    means = [float(weight @ ratio) for ratio in ratios]
    influences = [_influence(each, ratio, weight) for each, ratio in zip(pair, ratios, strict=True)]
    shifts, influences = _without_the_past(pair, influences)
    extra = 0.25 if bounded else 0.25 * (sum(means) / 2) ** 2
    ours, theirs = (
        Mean(estimate=mean - shift, variance=_variance(psi, extra), users=len(psi))
        for mean, shift, psi in zip(means, shifts, influences, strict=True)
    )
    return ours, theirs


def _unknown(one: Cohort) -> Mean:
    total = float(one.n.sum())
    estimate = float(one.y.sum()) / total if total else math.nan
    return Mean(estimate=estimate, variance=math.inf, users=one.users)


def _influence(one: Cohort, ratio: Floats, weight: Floats) -> Floats:
    mean_n = one.n.mean(axis=0)
    scale = np.divide(weight, mean_n, out=np.zeros_like(weight), where=mean_n > 0)
    influence: Floats = (one.y - ratio * one.n) @ scale
    return influence


def _variance(influence: Floats, extra: float) -> float:
    users = len(influence)
    return (float(influence @ influence) + extra) / (users * (users - 1))


def _without_the_past(
    pair: tuple[Cohort, Cohort], influences: list[Floats]
) -> tuple[list[float], list[Floats]]:
    """Return what the past explains of each mean, and the influences without it."""
    known = [np.isfinite(each.earlier) for each in pair]
    if min(int(each.sum()) for each in known) < COVARIATE_USERS:
        return [0.0, 0.0], influences
    average = float(np.concatenate([p.earlier[k] for p, k in zip(pair, known, strict=True)]).mean())
    past = [np.where(k, p.earlier - average, 0.0) for p, k in zip(pair, known, strict=True)]
    centred = [each - each.mean() for each in past]
    spread = sum(float(each @ each) for each in centred)
    if spread <= 0:
        return [0.0, 0.0], influences
    both = zip(centred, influences, strict=True)
    slope = sum(float(each @ psi) for each, psi in both) / spread
    return (
        [slope * float(each.mean()) for each in past],
        [psi - slope * each for psi, each in zip(influences, centred, strict=True)],
    )


def _winsorized(candidate: Cohort, control: Cohort) -> tuple[Cohort, Cohort]:
    ratios = np.concatenate(
        [each.y.sum(axis=1) / each.n.sum(axis=1) for each in (candidate, control)]
    )
    most = float(np.quantile(ratios, 0.99))

    def clipped(one: Cohort) -> Cohort:
        own = one.y.sum(axis=1) / one.n.sum(axis=1)
        scale = np.divide(most, own, out=np.ones_like(own), where=own > most)
        return Cohort(y=one.y * scale[:, None], n=one.n, earlier=one.earlier)

    return clipped(candidate), clipped(control)
