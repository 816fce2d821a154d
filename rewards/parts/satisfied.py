"""Satisfied: what the daemon's reader made of the person's next message, or of the answer by a rubric."""

from ...streams.events.episode import Episode
from ...streams.events.signals import Judged


def satisfied(episode: Episode) -> float | None:
    """Return the value of what was read in the person's next message; 0 dissatisfied, 1 satisfied.

    Of several readings of one message the first counts, whoever made it. None where nothing was read,
    or where the reading is neutral: what a message does not say counts for and against nothing.
    """
    return _first(episode).get("")


def marked(episode: Episode, rubric: str | None = None) -> float | None:
    """Return the judge's mark of the answer by one rubric, or the mean over all, each by its first.

    None where no rubric was read, or none but with a neutral mark.
    """
    marks = {name: value for name, value in _first(episode).items() if name}
    if rubric is not None:
        return marks.get(rubric)
    return sum(marks.values()) / len(marks) if marks else None


def _first(episode: Episode) -> dict[str, float]:
    """Return the value of the first reading by each rubric, of those that say something."""
    found: dict[str, Judged] = {}
    for one in sorted(episode.feedback, key=lambda timed: timed.received_at):
        signal = one.feedback.signal
        if isinstance(signal, Judged):
            found.setdefault(signal.rubric, signal)
    return {name: one.value for name, one in found.items() if one.direction != "neutral"}
