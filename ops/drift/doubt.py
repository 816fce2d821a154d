"""Doubt: what a version seems to do more than it may, while nothing is shown yet."""

from ...streams.state.transaction import Transaction
from ..stages.record import Rollout
from ..stages.watch_settings import WatchSettings
from . import alarms_table
from .alarms_table import TOTAL
from .drift_look import BehaviourLook, DriftLook


def doubt_of(tx: Transaction, policy: str, rollout: Rollout, settings: WatchSettings) -> str:
    """Return why a candidate is not promoted now, in words; empty where nothing seems past its bar.

    That nothing was shown to have passed a bar says little where few people were asked: what seems to
    have, in the last look, is a reason to ask more of them. A look from before its rewards were shown may
    be of few of the answers that they were shown of, whoever was down or however seldom there is one.
    """
    if settings.on_doubt != "wait" or not settings.watched:
        return ""
    looks = alarms_table.looks_at(tx, policy, rollout.version)
    said = [
        _said(look, one) for look in looks for one in look.behaviours if _is(look, one, settings)
    ]
    if said:
        return f"the promotion waits while a behaviour seems past its bar: {'; '.join(said)}"
    known = any(one.answers and not is_owed(rollout, one.at) for one in looks if not one.total)
    return "" if known else "the promotion waits for a look at what it does now"


def is_owed(rollout: Rollout, looked_at: float) -> bool:
    """Return whether a look so old is from before a promotion hangs on it."""
    return not 0.0 < rollout.doubted_since <= looked_at


def _is(look: DriftLook, one: BehaviourLook, settings: WatchSettings) -> bool:
    return one.beyond and settings.watches(f"{TOTAL}{one.name}" if look.total else one.name)


def _said(look: DriftLook, one: BehaviourLook) -> str:
    return f"in all, step by step: {one.said}" if look.total else one.said
