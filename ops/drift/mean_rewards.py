"""Mean rewards: of a version and of its reference, as their behaviours are compared."""

from collections.abc import Sequence

from ..stages.watch_settings import WatchSettings
from .drift_answers import DriftAnswer
from .segment_mix import DriftRow, mean_of, same_mix


def mean_rewards(
    ours: Sequence[DriftAnswer],
    theirs: Sequence[DriftAnswer],
    settings: WatchSettings,
    *,
    concurrent: bool = True,
) -> list[float | None]:
    """Return the mean reward of both sides' answers that have one, None of none, by `compare`'s mix."""
    sides = _rewards(ours), _rewards(theirs)
    if not concurrent:
        sides = same_mix(*sides, settings.users)
    return [mean_of(rows) if rows else None for rows in sides]


def _rewards(answers: Sequence[DriftAnswer]) -> list[DriftRow]:
    return [
        DriftRow(one.user, one.reward, 1.0, one.segment)
        for one in answers
        if one.reward is not None
    ]
