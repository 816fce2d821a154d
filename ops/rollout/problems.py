"""Release problems: what keeps versions from reaching people, or people from teaching, by name.

All of it is read from the tables, so that a running daemon, `rlwd status` and `rlwd doctor` say the
same.
"""

import sqlite3
from statistics import median

from ...learner.ledger.skipped import skipped
from ...streams.events.stage import EpisodeStage
from ...streams.join import fate
from ...streams.state.transaction import Transaction
from ..benchmark.compared import IN_ALL
from ..drift import alarms_table
from ..drift.alarms_table import DriftAlarm
from ..stages.record import Rollout, Stage
from ..stages.settings import RolloutSettings
from ..statistics.verdict import VerdictKind
from ..tool_errors.calls_table import tool_problem
from . import champions_table, holdout_table, rollouts_table
from .unfit import mismatched

PROBLEMS = (
    "rollout",
    "learning",
    "late",
    "holdout",
    "crowd",
    "tools",
    "drift",
    "benchmark",
    "mismatch",
    "skipped",
)
"""Names of the problems that there can be."""
VARIANTS = ("candidate", "control")
TIMEOUTS_IN_A_ROW = 3
"""So many versions that ran out of time one after another are a problem and no chance."""
NEWEST_JUDGED = 20
"""Versions among which the last is looked for that the gate passed or refused."""
OLD_ANSWERS = 50
"""So many answers that were too old to learn from, since the last batch, are a stall."""
NEWEST_BATCHES = 5
"""Batches since which answers are counted that were decided on too late."""
LATE_ANSWERS, LATE_SHARE = 50, 0.1
"""So many of them, and such a share of all that were decided on, are no stragglers."""
DECISIONS = ("accepted", "edited", "interrupted", "rated", "regenerated", "rejected", "undone")
"""Kinds by which people decide, whatever else a reward spec takes for a decision."""


def release_problems(
    view: Transaction, policy: str, settings: RolloutSettings, now: float
) -> dict[str, str]:
    """Return the problems by what they keep from going on: `rollout`, `learning`.

    `mismatch` says that learner and engine disagree about the same weights, `drift` names the behaviours of what serves that passed their bars while the reward was not shown to be down.
    `benchmark` names those that a version shows in production and not on a replay, or the other way round,
    and what the last version was refused for on the replay that it and the champions before it add up to.
    `late` says that many answers were given up before people decided on them.
    `skipped` says that the learner was given batches and made no version of them.
    `holdout` is the alarm that the champion is worse than v0, `tools` that tools fail more than they
    should. That the `crowd` is too small is told
    by `crowd_problem`.
    """
    found: dict[str, str] = {}
    current = rollouts_table.current(view, policy)
    if current is not None and (starved := _starved(current, settings, now)):
        found["rollout"] = starved
    elif stalled := _stalled(rollouts_table.history(view, policy, limit=TIMEOUTS_IN_A_ROW + 1)):
        found["rollout"] = stalled
    if old := _old_answers(view, policy):
        found["learning"] = (
            f"{old} answers since the last batch were too old to learn from: the learner is further"
            " from the champion than learner.max_policy_age"
        )
    if late := _decided_late(view, policy):
        found["late"] = late
    if worse := _worse_than_holdout(view, policy):
        found["holdout"] = worse
    if failing := _failing_tools(view, policy):
        found["tools"] = failing
    drifted = _drifted(view, policy, current, settings)
    for name, is_gap in (("drift", False), ("benchmark", True)):
        if said := "; ".join(one.sentence for one in drifted if one.is_gap is is_gap):
            found[name] = said
    if refused := _refused_in_all(view, policy):
        found["benchmark"] = "; ".join(filter(None, (found.get("benchmark"), refused)))
    if apart := mismatched(view, policy, settings.mismatch):
        found["mismatch"] = apart[1]
    if idle := skipped(view, policy):
        found["skipped"] = idle
    return found


def _drifted(
    view: Transaction, policy: str, current: Rollout | None, settings: RolloutSettings
) -> list[DriftAlarm]:
    """Return the alarms of the candidate and the champion, but those that a person knows of.

    These are of what was promoted over them, of the same habit that shows beside another reference since
    then, and of what is watched no more.
    """
    champion = champions_table.find_champion(view, policy)
    versions = {one.version for one in (current, champion) if one is not None}
    said, known = list[DriftAlarm](), set[tuple[str, str]]()
    for alarm in reversed(alarms_table.alarms(view, policy, sorted(versions))):
        release = rollouts_table.find(view, policy, alarm.version)
        habit = alarm.version, alarm.habit
        if release is not None and release.overruled and alarm.at < release.overruled_at:
            known.add(habit)
        if habit not in known and settings.watch.watches(alarm.behaviour):
            said.append(alarm)
    return said[::-1]


def _refused_in_all(view: Transaction, policy: str) -> str:
    """Return what the last version that the gate judged was refused for beside v0 and not beside the champion.

    The champion has most of it, so that the next ones will be refused likewise; another champion has not.
    """
    champion = champions_table.find_champion(view, policy)
    undecided = (VerdictKind.WAIT, VerdictKind.NODATA)
    for rollout in reversed(rollouts_table.history(view, policy, limit=NEWEST_JUDGED)):
        if rollout.gate is None or rollout.gate.outcome in undecided:
            continue
        said = "; ".join(one for one in rollout.gate.reasons if IN_ALL in one)
        if champion is None or rollout.control != champion.version or not said:
            return ""
        return f"{rollout.version} was refused and the next will be: {said}"
    return ""


def _starved(rollout: Rollout, settings: RolloutSettings, now: float) -> str | None:
    """Return why the rollout under way will run out of time, once half of its time is over.

    One that gets enough users at its present pace is slow and no problem, unless it has them and waits all the
    same, for what it seems to do.
    """
    began = next((m.at for m in rollout.trail if m.stage is rollout.stage), rollout.entered_at)
    if rollout.stage is Stage.PROMOTED or now < (began + rollout.deadline) / 2:
        return None
    pace = (rollout.deadline - began) / max(now - began, 1e-9)
    users = min(rollout.verdict.numbers.get(f"ab/users_{one}", 0.0) for one in VARIANTS)
    # One that is of this moment the next look may end at once.
    doubted = rollout.doubt if rollout.doubted_since < now else ""
    if rollout.stage is Stage.CANARY and users * pace >= settings.min_users and not doubted:
        return None
    pairs = rollout.verdict.numbers.get("shadow/pairs", 0.0)
    if rollout.stage is Stage.SHADOW and pairs * pace >= settings.shadow.answers:
        return None
    left = max(0.0, rollout.deadline - now)
    why = doubted or rollout.verdict.reason or "nothing was decided yet"
    return f"{rollout.version} runs out of time in {left:.0f} s as {rollout.stage}: {why}"


def _stalled(last: list[Rollout]) -> str | None:
    ended = [rollout for rollout in last if rollout.ended][-TIMEOUTS_IN_A_ROW:]
    late = [one for one in ended if one.out_of_time]
    if len(late) < TIMEOUTS_IN_A_ROW:
        return None
    newest = late[-1]
    if newest.doubt:
        return (
            f"the last {TIMEOUTS_IN_A_ROW} versions ran out of time, {newest.version} with:"
            f" {newest.doubt}; `rlwd report` shows the looks, docs/behaviours.md says what ends a doubt"
        )
    return (
        f"the last {TIMEOUTS_IN_A_ROW} versions ran out of time, {newest.version} with:"
        f" {newest.trail[-1].reason}; too few users answer for [rollout] min_users, margin and"
        " deadline_seconds (`rlwd plan` says how many are needed), or one update is too little to be"
        " seen (batch.max_lead above 1 lets the newest of several be tried next)"
    )


def _worse_than_holdout(view: Transaction, policy: str) -> str:
    try:
        return holdout_table.alarm(view, policy)
    except sqlite3.OperationalError:
        return ""  # A state that an older rlwd left: nothing was compared there.


def _failing_tools(view: Transaction, policy: str) -> str | None:
    try:
        return tool_problem(view, policy)
    except sqlite3.OperationalError:
        return None  # A state that an older rlwd left: nothing was counted there.


def _old_answers(view: Transaction, policy: str) -> int:
    row = view.execute(
        "SELECT COUNT(*) FROM episodes WHERE policy = ? AND fate = ? AND received >"
        " (SELECT COALESCE(MAX(sealed_at), 0) FROM batches WHERE policy = ?)",
        (policy, fate.TOO_OLD, policy),
    ).fetchone()
    return int(row[0]) if row[0] >= OLD_ANSWERS else 0


def _decided_late(view: Transaction, policy: str) -> str | None:
    """Return how many answers were given up as undecided that people did decide on, only later.

    Against those that the newest batches were sealed of, and since the oldest of these was.
    """
    row = view.execute(
        "SELECT MIN(sealed_at), MIN(batch_id) FROM (SELECT sealed_at, batch_id FROM batches"
        " WHERE policy = ? ORDER BY batch_id DESC LIMIT ?)",
        (policy, NEWEST_BATCHES),
    ).fetchone()
    since, batch = (0.0, 0) if row[0] is None else row
    rows = view.execute(
        "SELECT MIN(f.received) - e.received FROM episodes e"
        " JOIN feedback f ON f.policy = e.policy AND f.generation_id = e.generation_id"
        f" WHERE e.policy = ? AND e.stage = '{EpisodeStage.CLOSED}' AND e.due >= ? AND e.fate = ?"
        f" AND e.late > 0 AND f.dead = 0 AND f.kind IN ({', '.join('?' * len(DECISIONS))})"
        " GROUP BY e.generation_id, e.received",
        (policy, since, fate.NO_DECISION, *DECISIONS),
    ).fetchall()
    (taken,) = view.execute(
        "SELECT COUNT(*) FROM episodes WHERE policy = ? AND batch_id >= ?", (policy, batch)
    ).fetchone()
    count = len(rows)
    if count < LATE_ANSWERS or count < LATE_SHARE * (count + taken):
        return None
    return (
        f"{count} answers were given up as undecided, and decided on afterwards"
        f" ({count / (count + taken):.0%} of those decided on since batch {batch}, half of them within"
        f" {median(each for (each,) in rows):.0f} s): [decision] and [horizons] of the reward spec end"
        " before people decide"
    )
