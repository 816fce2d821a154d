"""Crowd: whether so many people come that a rollout can be decided before its deadline."""

import math
from dataclasses import replace
from typing import NamedTuple

from ...streams.answers.answer_rows import LATEST, NAMED
from ...streams.events.generation import SIDE
from ...streams.state.transaction import Transaction
from ..flags import intents_table
from ..stages.settings import DAY, RolloutSettings
from ..statistics.metric import MetricSettings, harm_alphas
from ..statistics.planner import PlannedRollout, plan

FEWEST_USERS = 50
"""Of fewer users a day cannot be told."""
SHORTEST_SECONDS = 3600.0
"""Nor of a shorter time."""
AGAIN_SECONDS = 600.0
"""So long what was said of the crowd stays said: it takes a pass over its answers."""
LONGEST_DAYS = 365.0
"""No plan looks further ahead."""


class SeenCrowd(NamedTuple):
    """The named users who came under the present salt, which is everybody but the holdout."""

    users_per_day: float
    """Users who come in a day."""
    new_share: float
    """Share of them who were not there on the days before."""
    base: float
    """Mean reward of a decided answer."""
    answers_per_user: float
    """Decided answers per user."""


class CrowdWatch:
    """Says of one policy's crowd what `crowd_problem` says, and seldom asks."""

    def __init__(self, policy: str, settings: RolloutSettings, horizon_seconds: float) -> None:
        self.policy, self.settings, self.horizon_seconds = policy, settings, horizon_seconds
        self._said: tuple[float, dict[str, str]] = (float("-inf"), {})

    def problems(self, view: Transaction, now: float) -> dict[str, str]:
        """Return the problem under `crowd`, as of a while ago; nothing where there is none."""
        if now - self._said[0] >= AGAIN_SECONDS:
            found = crowd_problem(view, self.policy, self.settings, self.horizon_seconds)
            self._said = (now, found)
        return self._said[1]


def crowd_problem(
    view: Transaction, policy: str, settings: RolloutSettings, horizon_seconds: float
) -> dict[str, str]:
    """Return, under `crowd`, why half of the candidates that are as good run out of time.

    Nothing where the crowd suffices, where too little is known of it, and where reward is no goal
    that is shown by not being worse. An answer counts after `horizon_seconds`.
    """
    reward = next((one for one in settings.metrics if one.name == "reward"), None)
    if reward is None or reward.kind != "non-inferior":
        return {}
    crowd = crowd_seen(view, policy)
    if crowd is None:
        return {}
    said = _too_small(crowd, settings, reward, horizon_seconds / DAY)
    return {"crowd": said} if said else {}


def crowd_seen(view: Transaction, policy: str) -> SeenCrowd | None:
    """Return the crowd under the salt that flags name now; None where too little is known."""
    newest = intents_table.newest(view, policy)
    if newest is None:
        return None
    under = (policy, newest[0].salt)
    where = (
        f"FROM episodes WHERE policy = ? AND salt = ? AND received IS NOT NULL AND {NAMED}"
        f" AND fate <> 'excluded:shadow' AND variant <> '{SIDE}'"
    )
    users, decided, base, first, last = view.execute(
        f"SELECT COUNT(DISTINCT user_hash), COUNT({LATEST}), AVG({LATEST}), MIN(received),"
        f" MAX(received) {where}",
        under,
    ).fetchone()
    if users < FEWEST_USERS or last - first < SHORTEST_SECONDS or not decided or not 0 < base < 1:
        return None
    days = view.execute(
        f"SELECT day, COUNT(DISTINCT user_hash) {where} GROUP BY day ORDER BY day", under
    ).fetchall()
    per_day, new_share = users / ((last - first) / DAY), 1.0
    if len(days) >= 3:
        # The first day and the last are not whole.
        whole = [count for _, count in days[1:-1]]
        per_day = sum(whole) / len(whole)
        came_later = sum(count for _, count in days[1:])
        new_share = min(1.0, max(0.01, (users - days[0][1]) / came_later))
    return SeenCrowd(per_day, new_share, float(base), max(1.0, decided / users))


def _too_small(
    crowd: SeenCrowd, settings: RolloutSettings, reward: MetricSettings, horizon_days: float
) -> str | None:
    deadline = settings.deadline_seconds / DAY
    asked = PlannedRollout(
        lift=0.0,
        base=crowd.base,
        users_per_day=crowd.users_per_day,
        share=min(settings.steps[-1], 0.5),
        margin=reward.margin,
        answers_per_user=crowd.answers_per_user,
        new_share=crowd.new_share,
        days=deadline,
        horizon_days=horizon_days,
    )
    alpha = harm_alphas(settings.metrics, settings.guardrail.alpha_harm)["reward"]
    within = plan(asked, settings.looks, alpha_harm=alpha)
    if math.isfinite(within.promote_users):
        return None
    ahead = plan(replace(asked, days=LONGEST_DAYS), settings.looks, alpha_harm=alpha)
    needed = asked.days_for(ahead.promote_users)
    takes = f"{needed:.1f} days" if needed <= LONGEST_DAYS else "more than a year"
    return (
        f"at {crowd.users_per_day:.0f} users a day it takes {takes} until half of the candidates that"
        f" are as good are shown to be within the margin of {reward.margin:.1%}, and"
        f" rollout.deadline_seconds ends it after {deadline:.1f}: allow more time, or a margin of"
        f" {within.smallest_effect:.1%}"
    )
