"""Planner: what a crowd of users can show of a candidate, and in how many days."""

import math
from dataclasses import dataclass

from .look_settings import LookSettings
from .passage import Passage, passage, smallest_effect


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRollout:
    """A crowd and the candidate that one hopes for. Effects are relative: 0.02 is 2 % of the base."""

    lift: float
    """Relative improvement of the candidate."""
    base: float
    """Mean of the metric now, above 0 and below 1."""
    users_per_day: float
    """Users who come in a day."""
    share: float = 0.45
    """Share of the users in the candidate's variant; the control has as many."""
    margin: float = 0.02
    """Relative loss that a promotion must exclude."""
    harm: float = 0.1
    """Relative loss whose discovery is planned too."""
    answers_per_user: float = 1.0
    """Decided answers per user; more of them make a user's mean less noisy."""
    correlation: float = 0.1
    """Correlation of two outcomes of one user, so that his answers are worth fewer."""
    new_share: float = 1.0
    """Share of a day's users who were not there on the days before."""
    days: float = 7.0
    """Longest time for a rollout, after which it ends without a decision."""
    horizon_days: float = 1 / 24
    """Time until an answer counts."""

    def __post_init__(self) -> None:
        if not 0 < self.base < 1:
            raise ValueError(f"base is {self.base}; it must lie between 0 and 1")
        if not -1 < self.lift <= 1 / self.base - 1:
            raise ValueError(f"lift is {self.lift:g}; the metric would leave [0, 1]")
        for name in ("margin", "harm", "correlation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; it must lie in [0, 1)")
        for name in ("users_per_day", "days"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name):g}; it must be above 0")
        if not 0 < self.share <= 0.5 or not 0 < self.new_share <= 1:
            raise ValueError("share must lie in (0, 0.5] and new_share in (0, 1]")
        if not self.answers_per_user >= 1 or not self.horizon_days >= 0:
            raise ValueError("answers_per_user must be at least 1 and horizon_days 0")
        if not self.horizon_days < self.days < math.inf:
            raise ValueError(
                f"days is {self.days:g}, and an answer counts after {self.horizon_days:g}: it must be"
                " more, and less than for ever"
            )
        if not max(self.users_per_day, self.answers_per_user) < math.inf:
            raise ValueError(
                "users_per_day and answers_per_user must be numbers of people and answers"
            )

    @property
    def deviation(self) -> float:
        """Standard deviation of a user's mean under the control."""
        return self.deviation_at(self.base)

    def deviation_at(self, rate: float) -> float:
        """Return the standard deviation of a user's mean: sqrt(p (1 - p) (rho + (1 - rho) / k))."""
        shared = self.correlation + (1 - self.correlation) / self.answers_per_user
        return math.sqrt(rate * (1 - rate) * shared)

    def users_in(self, days: float) -> float:
        """Return the users per variant whose answers count after so many days."""
        counted = max(0.0, days - self.horizon_days)
        first = min(1.0, counted)
        return self.share * self.users_per_day * (first + (counted - first) * self.new_share)

    def days_for(self, users: float) -> float:
        """Return the days after which so many users per variant count; inf for inf."""
        a_day = self.share * self.users_per_day
        beyond = max(0.0, users - a_day) / self.new_share
        return (min(users, a_day) + beyond) / a_day + self.horizon_days


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be expected. Users are per variant; inf means never within the longest time."""

    most_users: float
    """Users per variant within the longest time."""
    promote_users: float
    """By which half of such candidates are promoted as not worse by the margin."""
    promoted: float
    """Share of such candidates that are promoted within the longest time."""
    superior_users: float
    """By which half of them are shown to be better at all."""
    harm_users: float
    """By which half of the candidates that lose `harm` are found."""
    harm_found: float
    """Share of those that are found within the longest time."""
    rollouts_a_month: float
    """Rollouts in 30 days, where one begins as the last one ends."""
    wrong_promotions: float
    """Of those, promoted though worse by the margin, if all were."""
    wrong_refusals: float
    """Of those, rolled back though as good as the control, if all were."""
    smallest_effect: float
    """Smallest relative improvement that 4 of 5 rollouts show within the longest time; an equal
    candidate needs a margin as large."""


def plan(asked: PlannedRollout, settings: LookSettings, *, alpha_harm: float) -> Plan:
    """Return what to expect of rollouts like this; `alpha_harm` is the metric's part of the alpha."""
    most = asked.users_in(asked.days)

    def ends(effect: float, margin: float) -> Passage:
        means = asked.base * (1 + effect), asked.base
        return passage(
            means=means,
            deviations=(asked.deviation_at(means[0]), asked.deviation_at(means[1])),
            margin=margin,
            most_users=most,
            alpha_harm=alpha_harm,
            settings=settings,
        )

    hoped, superior = ends(asked.lift, asked.margin), ends(asked.lift, 0.0)
    harmful, equal, edge = (ends(x, asked.margin) for x in (-asked.harm, 0.0, -asked.margin))
    rollouts = 30 / min(asked.days, asked.days_for(equal.decided_users))
    smallest = smallest_effect(
        deviation=asked.deviation,
        users=max(2.0, most),
        alpha=settings.alpha_promote,
        planned=settings.promote_planned_users,
    )
    return Plan(
        most_users=most,
        promote_users=hoped.promote_users,
        promoted=hoped.promoted,
        superior_users=superior.promote_users,
        harm_users=harmful.harm_users,
        harm_found=harmful.harmed,
        rollouts_a_month=rollouts,
        wrong_promotions=rollouts * edge.promoted,
        wrong_refusals=rollouts * equal.harmed,
        smallest_effect=smallest / asked.base,
    )
