"""Power left: how many users a rollout still needs, and how long they take at the present pace."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..statistics.passage import smallest_effect
from ..statistics.sequential_tests import width
from .look import Look, MetricPoint

PACE_LOOKS = 0.5
"""The pace is that of this last part of the step's time."""
MOST_USERS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLeft:
    """What is still missing until a goal is shown in 4 of 5 rollouts of a version as good as the control."""

    metric: str
    """The goal's."""
    users: int
    """Users per variant so far."""
    needed: float
    """Users per variant in all; inf where the margin is too small for any crowd."""
    a_day: float | None
    """Users per variant that come in a day; None before two looks."""
    seconds: float | None
    """Time until then at that pace; 0 where there are enough; None where no users come."""


def power_left(looks: Sequence[Look]) -> list[PowerLeft]:
    """Return what each goal that is not shown still needs; empty where none can be said."""
    if not looks:
        return []
    found = (_left(point, looks) for point in looks[-1].metrics if point.kind == "non-inferior")
    return [one for one in found if one is not None]


def _left(point: MetricPoint, looks: Sequence[Look]) -> PowerLeft | None:
    last = looks[-1]
    if point.shown or point.change is None or point.low is None or point.users < 2:
        return None
    planned, alpha = last.planned_users, last.alpha_promote
    error = (point.change - point.low) / width(point.users, planned, alpha)
    deviation = error * math.sqrt(point.users / 2)

    def enough(users: float) -> bool:
        return point.margin >= smallest_effect(
            deviation=deviation, users=users, alpha=alpha, planned=planned
        )

    needed = _first(enough, float(point.users))
    pace = _pace(point.name, looks)
    missing = max(0.0, needed - point.users)
    seconds = None
    if not missing:
        seconds = 0.0
    elif pace and math.isfinite(missing):
        seconds = missing / pace
    return PowerLeft(
        metric=point.name,
        users=point.users,
        needed=needed,
        a_day=None if pace is None else 86400.0 * pace,
        seconds=seconds,
    )


def _first(enough: Callable[[float], bool], start: float) -> float:
    """Return the least number of users that is enough; inf where none is."""
    low = high = start
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST_USERS:
            return math.inf
    while high - low > max(1.0, 0.01 * low):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return math.ceil(high)


def _pace(name: str, looks: Sequence[Look]) -> float | None:
    """Return the users per variant that came each second, lately."""
    last = looks[-1]
    same = [one for one in looks if (one.stage, one.step) == (last.stage, last.step)]
    counts = [(one.at, p.users) for one in same for p in one.metrics if p.name == name]
    late = [one for one in counts if one[0] >= last.at - PACE_LOOKS * (last.at - counts[0][0])]
    began = late if len(late) > 1 else counts
    if len(began) < 2 or began[-1][0] <= began[0][0]:
        return None
    return max(0.0, began[-1][1] - began[0][1]) / (began[-1][0] - began[0][0])
