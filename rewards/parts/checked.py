"""Checked: did the answer do as it was told, where the harness checks that?"""

from ...streams.events.episode import Episode
from ...streams.events.signals import Checked
from .last_signal import signals_in_order


def checked(episode: Episode, name: str | None = None) -> float | None:
    """Return whether one check passed, or the share of all checks that did, each by its last run.

    None where it was not run. A check that the answer was not meant for must not be posted: what is
    posted counts.
    """
    last = {one.name: float(one.passed) for one in signals_in_order(episode, Checked)}
    if name is not None:
        return last.get(name)
    return sum(last.values()) / len(last) if last else None
