"""Reading metrics: what readers read, refused and spent, as the tables count it."""

from collections.abc import Mapping

from .reading_status import CLASSES, REFUSED
from .series import Series, Shown

READINGS = (
    Series("rlwd_readings_total", "Messages and answers read, by what was read.", ("direction",)),
    Series("rlwd_not_read_total", "Messages that nobody will read, by why.", ("why",)),
    Series("rlwd_unread", "Messages and answers that wait to be read."),
    Series("rlwd_judge_calls_total", "Calls of the judge."),
    Series("rlwd_judge_tokens_total", "Tokens that the judge's calls took."),
    Series(
        "rlwd_judge_outcomes_total",
        "Texts for the judge, by what came of them beside a call that it answered.",
        ("outcome",),
    ),
)
"""What is shown of readers."""
_OUTCOMES = ("cached", "errors", "not_understood", "over_budget")


def reading_values(told: Mapping[str, int], waiting: int) -> Shown:
    """Return what was read of all time, and what waits."""

    def counted(names: tuple[str, ...]) -> Mapping[str, float]:
        return {name: told.get(name, 0) for name in names}

    return {
        "rlwd_readings_total": counted(CLASSES),
        "rlwd_not_read_total": counted(REFUSED),
        "rlwd_unread": waiting,
        "rlwd_judge_calls_total": told.get("calls", 0),
        "rlwd_judge_tokens_total": told.get("tokens", 0),
        "rlwd_judge_outcomes_total": counted(_OUTCOMES),
    }
