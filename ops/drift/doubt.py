"""Doubt: what a version seems to do more than it may, while nothing is shown yet."""

from ...streams.state.transaction import Transaction
from ..stages.record import Rollout
from ..stages.watch_settings import WatchSettings
from . import alarms_table
from .alarms_table import IN_ALL, TOTAL
from .drift_look import BehaviourLook, DriftLook

UNSEEN = "the promotion waits for a look at what it does now"
"""What is said before there is a look that can decide; the next one does."""
HARDLY = 0.1
"""A behaviour that so small a share of a look's people show anything of is hardly measured: however many more
are asked, a rollout would be given up for what one of them was answered."""


def doubt_of(tx: Transaction, policy: str, rollout: Rollout, settings: WatchSettings) -> str:
    """Return why a candidate is not promoted now, in words; empty where nothing seems past its bar.

    That nothing was shown to have passed a bar says little where few people were asked: what seems to
    have, in the last look, is a reason to ask more of them. A look from before its rewards were shown may
    be of few of the answers that they were shown of, whoever was down or however seldom there is one.
    """
    if settings.on_doubt != "wait" or not settings.watched:
        return ""
    looks = alarms_table.looks_at(tx, policy, rollout.version)
    most = max((one.users for look in looks for one in look.behaviours), default=0)
    said = [
        _said(look, one)
        for look in looks
        for one in look.behaviours
        if _is(look, one, settings) and one.users >= _enough(look, most, settings)
    ]
    if said:
        return f"the promotion waits while a behaviour seems past its bar: {'; '.join(said)}"
    known = any(one.answers and not is_owed(rollout, one.at) for one in looks if not one.total)
    return "" if known else UNSEEN


def is_owed(rollout: Rollout, looked_at: float) -> bool:
    """Return whether a look so old is from before a promotion hangs on it."""
    return not 0.0 < rollout.doubted_since <= looked_at


def _is(look: DriftLook, one: BehaviourLook, settings: WatchSettings) -> bool:
    # What stays the same is known no better for asking more people of the candidate.
    noise = (one.reference_error or 0.0) if look.total else 0.0
    return one.excess > noise and settings.watches(f"{TOTAL}{one.name}" if look.total else one.name)


def _enough(look: DriftLook, most: int, settings: WatchSettings) -> float:
    """Return of how many users a behaviour is a reason to ask more people.

    Beside so few of what stays the same that nothing can ever be shown by them a version would be in doubt to
    its end, and so would those after it.
    """
    return settings.users if look.total else min(settings.users, HARDLY * most)


def _said(look: DriftLook, one: BehaviourLook) -> str:
    return f"{IN_ALL}{one.said}" if look.total else one.said
