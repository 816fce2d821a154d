"""Answers made by hand: columns of a few answers, with the rest filled in."""

from collections.abc import Sequence

import numpy as np

from rlwd.ops.statistics.answers import Answers


def answers(
    *,
    user: Sequence[int],
    stratum: Sequence[int] | None = None,
    served_at: Sequence[float] | None = None,
    horizon: float | Sequence[float] = 0.0,
    earlier: Sequence[float] | None = None,
    **values: Sequence[float],
) -> Answers:
    """Return answers; all in one stratum, at time 0 and without a past where nothing is said."""
    count = len(user)
    return Answers(
        user=np.array(user, np.int64),
        stratum=np.array([0] * count if stratum is None else stratum, np.int64),
        served_at=np.array([0.0] * count if served_at is None else served_at, float),
        horizon=np.broadcast_to(np.array(horizon, float), count),
        values={name: np.array(column, float) for name, column in values.items()},
        earlier=np.full(max(user, default=0) + 1, np.nan)
        if earlier is None
        else np.array(earlier, float),
    )
