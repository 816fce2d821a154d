"""Total pairs: watched versions against what stays the same, so that many small steps are one large one."""

from collections.abc import Sequence

from ...streams.state.transaction import Transaction
from ..drift import alarms_table
from ..drift.drift_answers import Side
from ..drift.drift_pair import DriftPair
from ..flags import intents_table
from ..flags.assignment import holdout_salt
from ..rollout import candidates_table, champions_table, rollouts_table

HELD_OUT_SECONDS = 28 * 86400.0
"""What the holdout did for so long before a version's first users counts, too: four whole weeks."""
HELD_OUT = ("anchor",)
"""Variants of the holdout."""
SERVED = ("champion", "control", "candidate")
"""Variants under which a version that everybody gets answers."""


def total_pairs(
    view: Transaction, policy: str, share: float, watched: Sequence[DriftPair]
) -> list[DriftPair]:
    """Return the watched versions against v0: what the holdout got, or what v0 did as champion.

    Where a person promoted a version over an alarm, its habits are meant: that version takes v0's place.
    What is watched against the same version already (v0 is the control) is left out, but for the holdout,
    which has many more answers than those of one reign.
    """
    anchor = candidates_table.find_anchor(view, policy)
    if anchor is None or not watched:
        return []
    fixed = _meant(view, policy) or anchor.version
    found = []
    for pair in watched:
        before = pair.theirs
        if pair.version == fixed or (before.version == fixed and before.variants != HELD_OUT):
            continue
        if share and fixed == anchor.version:
            since = _began(view, policy, pair) - HELD_OUT_SECONDS
            theirs = Side(fixed, (holdout_salt(policy),), HELD_OUT, since)
            against = f"against the holdout on {fixed}"
        else:
            theirs = _reign(view, policy, fixed)
            against = f"against {fixed} as it was champion"
        champion = before.version if pair.ours.variants == ("candidate",) else ""
        found.append(
            DriftPair(
                *(pair.version, against, pair.ours, theirs),
                concurrent=False,
                total=True,
                champion=champion,
            )
        )
    return found


def _meant(view: Transaction, policy: str) -> str:
    """Return the last version that a person promoted over an alarm of the drift watch; or nothing."""
    for rollout in rollouts_table.overruled(view, policy):
        filed = alarms_table.alarms(view, policy, [rollout.version])
        if any(one.holds and one.at <= rollout.overruled_at for one in filed):
            return rollout.version
    return ""


def _began(view: Transaction, policy: str, pair: DriftPair) -> float:
    rollout = rollouts_table.find(view, policy, pair.version)
    if pair.ours.since or rollout is None:
        return pair.ours.since
    return min((move.at for move in rollout.trail), default=rollout.entered_at)


def _reign(view: Transaction, policy: str, version: str) -> Side:
    """Return what a version answered in its first reign, to its users and to those it was the control of."""
    reigns = champions_table.history(view, policy, limit=1_000_000)[::-1]
    place = next(number for number, one in enumerate(reigns) if one[0] == version)
    began = reigns[place][1] if place else 0.0
    ended = reigns[place + 1][1] if place + 1 < len(reigns) else intents_table.FOREVER
    salts = intents_table.salts_since(view, policy, began, ended)
    return Side(version, tuple(salts), SERVED, began, ended)
