"""Watched versions: which versions are watched for drift, and against what."""

from ...streams.state.transaction import Transaction
from ..benchmark.production_gap import GapWatch
from ..drift import alarms_table
from ..drift.doubt import is_owed
from ..drift.drift_answers import Side
from ..drift.drift_pair import DriftPair
from ..drift.drift_watch import DriftWatch
from ..flags import intents_table
from ..flags.assignment import holdout_salt
from ..rollout import candidates_table, champions_table, rollouts_table
from ..stages.record import Rollout, Stage
from .total_pairs import SERVED, total_pairs


def watch_drift(watch: DriftWatch, share: float, now: float) -> None:
    """Look at the candidate under way and at the champion, when it is time; `share` is held out.

    At a candidate whose promotion waits for a look it looks at once.
    """
    if not watch.settings.watched:
        return
    due = watch.due(now)
    with watch.store.reading() as view:
        waits = "" if due else _waits(view, watch.policy)
        if not due and not waits:
            return
        pairs = watched_pairs(view, watch.policy, share)
        if waits:
            pairs = [pair for pair in pairs if pair.version == waits]
        if watch.settings.total:
            # The look beside the control is what a promotion waits for: it comes after the others.
            pairs = [*total_pairs(view, watch.policy, share, pairs), *pairs]
    watch.look(pairs, now)


def _waits(view: Transaction, policy: str) -> str:
    """Return the candidate whose promotion waits for a look at what it does now; or nothing."""
    rollout = rollouts_table.current(view, policy)
    if rollout is None or rollout.stage is not Stage.CANARY or not rollout.doubted_since:
        return ""
    look = alarms_table.find_look(view, policy, rollout.version)
    return rollout.version if look is None or is_owed(rollout, look.at) else ""


def watch_gap(watch: GapWatch, share: float, now: float) -> None:
    """Compare the same versions' answers to people with those on a benchmark, when it is time."""
    if not watch.due(now):
        return
    with watch.store.reading() as view:
        sides = [pair.ours for pair in watched_pairs(view, watch.policy, share)]
    watch.look(sides, now)


def watched_pairs(view: Transaction, policy: str, share: float) -> list[DriftPair]:
    """Return the candidate against its control, and the champion against the holdout.

    Where there is no holdout the champion is held against the version before it, in the time before:
    people may have changed meanwhile. v0 is the reference of all and not watched.
    """
    rollout = rollouts_table.current(view, policy)
    found = []
    if rollout is not None and rollout.serving:
        found.append(_candidate(rollout))
    champion = champions_table.find_champion(view, policy)
    anchor = candidates_table.find_anchor(view, policy)
    under_way = rollout is not None and champion is not None and rollout.version == champion.version
    if champion is None or anchor is None or champion.version == anchor.version or under_way:
        return found
    return [*found, _champion(view, policy, champion.version, anchor.version, share)]


def _candidate(rollout: Rollout) -> DriftPair:
    salts = (rollout.version,)
    return DriftPair(
        version=rollout.version,
        against=f"against {rollout.control}, at the same time",
        ours=Side(rollout.version, salts, ("candidate",)),
        theirs=Side(rollout.control, salts, ("control",)),
    )


def _champion(view: Transaction, policy: str, version: str, anchor: str, share: float) -> DriftPair:
    reigns = champions_table.history(view, policy)
    since = next(at for name, at, _ in reigns if name == version)
    salts = tuple(intents_table.salts_since(view, policy, since))
    ours = Side(version, salts, SERVED, since)
    held_out = Side(anchor, (holdout_salt(policy),), ("anchor",), since)
    if share:
        return DriftPair(version, f"against the holdout on {anchor}", ours, held_out)
    before = next((name for name, _, _ in reigns if name != version), anchor)
    began = next((at for name, at, _ in reigns if name == before), 0.0)
    theirs = Side(
        before,
        tuple(intents_table.salts_since(view, policy, began)),
        SERVED,
        began,
        since,
    )
    return DriftPair(version, f"against {before}, before it", ours, theirs, concurrent=False)
