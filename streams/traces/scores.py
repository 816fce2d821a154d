"""Scores: what a tracing product recorded of an answer's worth, as signals.

A thumb of a person is a rating. Any other score is an outcome of its own name, since nobody here
knows what it measures; its value must lie in [0, 1], where 1 is best.
"""

from typing import Any, Literal

from ..events.signals import Outcome, Rated

THUMBS = frozenset(
    (
        *("user-feedback", "user_feedback", "userfeedback", "feedback", "user-score", "user_score"),
        *(
            "thumbs",
            "thumb",
            "thumbs_up",
            "thumbs-up",
            "like",
            "rating",
            "user-rating",
            "user_rating",
        ),
    )
)
"""Names by which products call what a person says with a thumb or with stars."""
WORDS = {
    **dict.fromkeys(
        ("true", "yes", "good", "up", "thumbs_up", "thumbs-up", "positive", "like"), 1.0
    ),
    **dict.fromkeys(("correct", "pass", "passed", "success", "accepted"), 1.0),
    **dict.fromkeys(("false", "no", "bad", "down", "thumbs_down", "thumbs-down", "negative"), 0.0),
    **dict.fromkeys(("dislike", "incorrect", "fail", "failed", "failure", "rejected"), 0.0),
    "neutral": 0.5,
}
"""What categories are worth."""


def actor_of(by_person: bool) -> Literal["person", "system"]:
    """Return who gave a score."""
    return "person" if by_person else "system"


def score_signal(name: str, value: Any, path: str, *, by_person: bool) -> Rated | Outcome:
    """Return the signal of one score; raises ValueError with the path where it says nothing."""
    worth = WORDS.get(value.strip().lower()) if isinstance(value, str) else value
    if isinstance(worth, bool):
        worth = float(worth)
    if not isinstance(worth, int | float) or not 0.0 <= worth <= 1.0:
        raise ValueError(f"{path}: {value!r} of {name!r} says nothing between 0 and 1")
    if by_person and name.lower() in THUMBS:
        return Rated(value=float(worth))
    return Outcome(name=name[:512] or "score", value=float(worth))
