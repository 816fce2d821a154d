"""`rlwd plan` against a simulated crowd, at base rates of 1 %, 20 % and 80 %, and with answers alike."""

from typing import NamedTuple

import pytest
from plan_oracle import Ends, ends

from rlwd.ops.statistics.look_settings import LookSettings
from rlwd.ops.statistics.metric import DEFAULT_METRICS, harm_alphas
from rlwd.ops.statistics.planner import Plan, PlannedRollout, plan

SETTINGS = LookSettings()
ALPHA_HARM = harm_alphas(DEFAULT_METRICS, SETTINGS.alpha_harm)["reward"]
CROWDS = {
    "1 %": PlannedRollout(lift=0.1, base=0.01, users_per_day=10_000, margin=0.3, harm=0.5),
    "20 %, half of them new": PlannedRollout(
        lift=0.05, base=0.2, users_per_day=6000, margin=0.1, harm=0.2, new_share=0.5
    ),
    "80 %": PlannedRollout(lift=0.0228, base=0.8, users_per_day=3000, margin=0.03, harm=0.1),
    "80 %, four answers each": PlannedRollout(
        lift=0.0228,
        base=0.8,
        users_per_day=1000,
        margin=0.03,
        harm=0.1,
        days=4.0,
        answers_per_user=4,
        correlation=0.3,
        horizon_days=0.25,
    ),
}


class Held(NamedTuple):
    """A plan, and what the crowd does."""

    asked: PlannedRollout
    planned: Plan
    hoped: Ends
    harmful: Ends
    equal: Ends
    edge: Ends


@pytest.fixture(scope="module", params=CROWDS, ids=str)
def held(request: pytest.FixtureRequest) -> Held:
    """A plan for a crowd, and rollouts of that crowd."""
    asked = CROWDS[request.param]
    effects = (asked.lift, -asked.harm, 0.0, -asked.margin)
    drawn = (ends(asked, effect, asked.margin, SETTINGS, ALPHA_HARM) for effect in effects)
    return Held(asked, plan(asked, SETTINGS, alpha_harm=ALPHA_HARM), *drawn)


def test_users_and_days_are_what_the_crowd_needs(held: Held) -> None:
    """Medians are right within a fifth, or the hour between two looks; shares within five points."""
    asked, planned = held.asked, held.planned
    for users, share, found, which in (
        (planned.promote_users, planned.promoted, held.hoped, held.hoped.promoted),
        (planned.harm_users, planned.harm_found, held.harmful, held.harmful.harmed),
    ):
        an_hour = asked.share * asked.users_per_day / 24
        assert users == pytest.approx(found.median(which, found.users), rel=0.2, abs=an_hour)
        days = asked.days_for(users)
        assert days == pytest.approx(found.median(which, found.days), rel=0.2, abs=1 / 24)
        assert share == pytest.approx(which.mean(), abs=0.05)


def test_wrong_decisions_of_a_month_are_those_of_the_crowd(held: Held) -> None:
    """Rollouts within a quarter; of those wrong decisions within three in a hundred, and under alpha."""
    planned, equal, edge = held.planned, held.equal, held.edge
    month = planned.rollouts_a_month
    assert month == pytest.approx(30 / equal.days.mean(), rel=0.25)
    assert planned.wrong_promotions == pytest.approx(month * edge.promoted.mean(), abs=0.03 * month)
    assert planned.wrong_refusals == pytest.approx(month * equal.harmed.mean(), abs=0.03 * month)
    # 600 rollouts: three standard errors above what is promised.
    assert edge.promoted.mean() <= SETTINGS.alpha_promote + 0.027
    assert equal.harmed.mean() <= ALPHA_HARM + 0.018


def test_the_smallest_effect_is_shown_in_four_of_five(held: Held) -> None:
    """By the crowd that the plan was made for, within the days that it names; or in a few more."""
    found = ends(held.asked, held.planned.smallest_effect, 0.0, SETTINGS, ALPHA_HARM)
    assert 0.77 <= found.promoted.mean() <= 0.93
