"""The planner against simulated users: what it promises is what they need."""

import math

import numpy as np
import pytest

from rlwd.ops.statistics.look_settings import LookSettings
from rlwd.ops.statistics.passage import passage, smallest_effect
from rlwd.ops.statistics.planner import PlannedRollout, plan
from rlwd.ops.statistics.sequential_tests import width

SETTINGS = LookSettings(promote_planned_users=1000)


def users_needed(effect: float, margin: float, most: int, seed: int) -> dict[str, list[float]]:
    """Return when simulated users of 0 and 1 decide, looked at every 25; a plain loop over looks."""
    generator = np.random.default_rng(seed)
    ends: dict[str, list[float]] = {"promoted": [], "harmed": []}
    at = np.arange(50, most + 1, 25)
    widths = {
        "harmed": np.array([width(float(n), SETTINGS.harm_planned_users, 0.05) for n in at]),
        "promoted": np.array([width(float(n), SETTINGS.promote_planned_users, 0.05) for n in at]),
    }
    for _ in range(400):
        ours, theirs = (
            np.cumsum(generator.random(most) < p)[at - 1] / at for p in (0.6 + effect, 0.6)
        )
        spread, other = ours * (1 - ours) / at, theirs * (1 - theirs) / at
        harm = np.flatnonzero(ours - theirs + widths["harmed"] * np.sqrt(spread + other) < 0)
        reach = widths["promoted"] * np.sqrt(spread + (1 - margin) ** 2 * other)
        good = np.flatnonzero((ours - (1 - margin) * theirs - reach > 0) & (at >= 100))
        if len(harm) and (not len(good) or harm[0] <= good[0]):
            ends["harmed"].append(float(at[harm[0]]))
        elif len(good):
            ends["promoted"].append(float(at[good[0]]))
    return ends


@pytest.mark.parametrize(
    ("effect", "kind"), [(0.05, "promoted"), (0.0, "promoted"), (-0.1, "harmed")]
)
def test_the_promised_users_are_what_simulated_users_need(effect: float, kind: str) -> None:
    """The median is right within a fifth, and the share within six points."""
    promised = passage(
        means=(0.6 + effect, 0.6),
        deviations=(math.sqrt((0.6 + effect) * (0.4 - effect)), math.sqrt(0.24)),
        margin=0.1,
        most_users=4000,
        alpha_harm=0.05,
        settings=SETTINGS,
    )
    needed = users_needed(effect, 0.1, 4000, seed=11)[kind]
    median = np.median(needed + [np.inf] * (400 - len(needed)))
    users = promised.promote_users if kind == "promoted" else promised.harm_users
    share = promised.promoted if kind == "promoted" else promised.harmed
    assert users == pytest.approx(median, rel=0.2)
    assert share == pytest.approx(len(needed) / 400, abs=0.06)


def test_wrong_decisions_stay_under_alpha() -> None:
    """At the edge of the margin 5 % are promoted at most; of the equal 5 % are refused at most."""
    edge, equal = (
        passage(
            means=(0.5 + effect, 0.5),
            deviations=(0.5, 0.5),
            margin=0.1,
            most_users=20_000,
            alpha_harm=0.05,
            settings=SETTINGS,
        )
        for effect in (-0.05, 0.0)
    )
    assert 0.005 < edge.promoted <= 0.05
    assert 0.005 < equal.harmed <= 0.05


def test_the_smallest_effect_is_shown_in_four_of_five() -> None:
    """Paths with that effect cross within the users in 80 % or a little more."""
    effect = smallest_effect(deviation=0.4, users=5000, alpha=0.05, planned=1000)
    shown = passage(
        means=(0.5 + effect, 0.5),
        deviations=(0.4, 0.4),
        margin=0.0,
        most_users=5000,
        alpha_harm=0.05,
        settings=SETTINGS,
    )
    assert 0.78 <= shown.promoted <= 0.9


def test_days_are_users_over_the_crowd_and_its_share() -> None:
    """45 % of 1000 a day, an hour until an answer counts: 900 users after two days and an hour."""
    asked = PlannedRollout(lift=0.02, base=0.8, users_per_day=1000)
    assert asked.days_for(900) == pytest.approx(2 + 1 / 24)
    assert asked.users_in(2 + 1 / 24) == pytest.approx(900)
    assert asked.days_for(math.inf) == math.inf


def test_a_crowd_that_comes_back_grows_slower() -> None:
    """With a tenth of new people a day, the second 450 users take ten days."""
    asked = PlannedRollout(lift=0.02, base=0.8, users_per_day=1000, new_share=0.1)
    assert asked.days_for(900) == pytest.approx(11 + 1 / 24)
    assert asked.users_in(11 + 1 / 24) == pytest.approx(900)


def test_more_answers_of_a_user_are_worth_less_than_more_users() -> None:
    """Ten answers with correlation 0.1 leave 0.19 of the variance, not 0.1."""
    one, ten = (
        PlannedRollout(lift=0.02, base=0.5, users_per_day=1, answers_per_user=k) for k in (1, 10)
    )
    assert (ten.deviation / one.deviation) ** 2 == pytest.approx(0.19)


def test_a_plan_counts_wrong_decisions_over_a_month() -> None:
    """They are shares of the rollouts of 30 days."""
    found = plan(
        PlannedRollout(lift=0.0228, base=0.8, users_per_day=20_000),
        LookSettings(),
        alpha_harm=0.02,
    )
    assert 25 < found.rollouts_a_month < 40
    assert 0 < found.wrong_refusals <= 0.02 * found.rollouts_a_month
    assert 0 < found.wrong_promotions <= 0.05 * found.rollouts_a_month
    assert found.promote_users < found.superior_users < found.most_users


@pytest.mark.parametrize(
    "wrong",
    [
        *({"base": 1.0}, {"lift": 0.5}, {"share": 0.6}, {"users_per_day": 0.0}, {"margin": 1.0}),
        *({"users_per_day": math.inf}, {"answers_per_user": math.nan}, {"horizon_days": math.nan}),
        *({"days": math.inf}, {"days": 1.0, "horizon_days": 1.0}),
    ],
)
def test_what_cannot_be_planned_is_refused(wrong: dict[str, float]) -> None:
    """The value at fault is named."""
    given = {"lift": 0.02, "base": 0.8, "users_per_day": 100.0, **wrong}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PlannedRollout(**given)
