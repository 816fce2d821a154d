"""Doubt: what a version seems to do more than it may, while nothing is shown yet."""

from ...streams.state.transaction import Transaction
from ..stages.watch_settings import WatchSettings
from . import alarms_table
from .alarms_table import TOTAL
from .drift_look import BehaviourLook, DriftLook


def doubt_of(tx: Transaction, policy: str, version: str, settings: WatchSettings) -> str:
    """Return why a candidate is not promoted now, in words; empty where nothing seems past its bar.

    That nothing was shown to have passed a bar says little where few people were asked: what seems to
    have, in the last look, is a reason to ask more of them.
    """
    if settings.on_doubt != "wait":
        return ""
    looks = alarms_table.looks_at(tx, policy, version)
    if settings.watched and not any(one.answers for one in looks):
        return "the promotion waits for the first look at what it does"
    said = [
        _said(look, one) for look in looks for one in look.behaviours if _is(look, one, settings)
    ]
    if not said:
        return ""
    return f"the promotion waits while a behaviour seems past its bar: {'; '.join(said)}"


def _is(look: DriftLook, one: BehaviourLook, settings: WatchSettings) -> bool:
    return one.beyond and settings.watches(f"{TOTAL}{one.name}" if look.total else one.name)


def _said(look: DriftLook, one: BehaviourLook) -> str:
    return f"in all, step by step: {one.said}" if look.total else one.said
