"""Power left: what a goal still needs agrees with the planner that it is computed by."""

import math

import pytest

from rlwd.ops.looks.look import Look, MetricPoint
from rlwd.ops.looks.power import power_left
from rlwd.ops.statistics.passage import smallest_effect
from rlwd.ops.statistics.sequential_tests import width

PLANNED, ALPHA, DEVIATION = 1000, 0.05, 0.5


def look(at: float, users: int, *, margin: float = 0.05, shown: bool = False) -> Look:
    """A look at a metric whose users have a known spread, in units of the control."""
    error = DEVIATION * math.sqrt(2 / users)
    reach = width(users, PLANNED, ALPHA) * error
    point = MetricPoint(
        name="reward",
        kind="non-inferior",
        margin=margin,
        direction="higher",
        candidate=0.7,
        control=0.7,
        users=users,
        change=0.0,
        low=-reach,
        high=reach,
        harm=False,
        shown=shown,
        alpha=0.025,
    )
    return Look(
        at=at,
        stage="canary",
        step=0,
        outcome="WAIT",
        reason="",
        exposed=(users, users),
        e_value=1.0,
        srm_alpha=0.001,
        alpha_promote=ALPHA,
        planned_users=PLANNED,
        harm_planned_users=300,
        metrics=(point,),
    )


def test_the_users_needed_are_the_planners() -> None:
    """At that many users the smallest effect that shows is the margin; the pace gives the time."""
    (left,) = power_left([look(0.0, 100), look(3600.0, 150), look(7200.0, 200)])
    assert left.users == 200
    shows = smallest_effect(deviation=DEVIATION, users=left.needed, alpha=ALPHA, planned=PLANNED)
    assert shows == pytest.approx(0.05, rel=0.02)
    assert left.a_day == pytest.approx(50 * 24)
    assert left.seconds == pytest.approx((left.needed - 200) / 50 * 3600)


def test_what_is_shown_or_comes_no_more_is_said_so() -> None:
    """Nothing is left of a shown goal; without new users there is no time; with enough it is 0."""
    assert power_left([]) == []
    assert power_left([look(0.0, 100), look(9.0, 200, shown=True)]) == []
    (still,) = power_left([look(0.0, 100), look(9.0, 100)])
    assert (still.a_day, still.seconds) == (0.0, None)
    (enough,) = power_left([look(0.0, 100), look(9.0, 60_000)])
    assert enough.seconds == 0.0
    (never,) = power_left([look(0.0, 100), look(9.0, 200, margin=1e-9)])
    assert math.isinf(never.needed)
