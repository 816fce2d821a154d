"""Horizons: what waited is given up, or made ready, once the log was read past its time."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from ..answers import traced
from ..attribution import chain_table
from ..events.scored import Score
from ..events.stage import EpisodeStage
from ..log.ports import Partition
from ..sessions.offered import load_offered
from ..state.transaction import Transaction, row_lock
from . import dead_letters, episodes_table, fate, offsets
from .dead_letters import bury_on_chain
from .scoring import Scoring

CLOSE_AT_ONCE = 10_000
"""Most horizons closed in one transaction, so that a backlog never holds the database."""

_WAITING = f"'{EpisodeStage.OPEN}', '{EpisodeStage.SCORED}', '{EpisodeStage.ORPHAN}'"


def close_horizons(
    tx: Transaction,
    policy: str,
    scoring: Scoring,
    mark: float,
    now: float,
    *,
    trace_share: float = 0.0,
) -> int:
    """Close the horizons that end before `mark`; return how many, at most `CLOSE_AT_ONCE`.

    An open episode is censored, or worth what the spec gives those that nobody decided on; an orphan's
    feedback is dead-lettered, and a scored episode that waited until its spec says ready becomes ready.
    """
    rows = tx.execute(
        "SELECT generation_id, stage, segment FROM episodes WHERE policy = ?"
        f" AND stage IN ({_WAITING}) AND due < ? ORDER BY due LIMIT ?" + row_lock(tx, skip=True),
        (policy, mark, CLOSE_AT_ONCE),
    ).fetchall()
    by_stage = defaultdict[str, list[str]](list)
    for generation_id, stage, _ in rows:
        by_stage[stage].append(generation_id)
    orphans = by_stage[EpisodeStage.ORPHAN]
    opened = [(name, segment) for name, stage, segment in rows if stage == EpisodeStage.OPEN]
    silent = _of_value(tx, policy, scoring.score, opened)
    valued = episodes_table.load_episodes(tx, policy, silent)
    told = {episode.id for episode in valued} - scoring.write(tx, valued, now, read_past=mark)
    censored = [name for name in by_stage[EpisodeStage.OPEN] if name not in told]
    episodes_table.close(tx, policy, censored, fate.NO_DECISION)
    episodes_table.close(tx, policy, orphans, fate.DEAD_LETTERED)
    refused = Counter[Partition]()
    for generation_id in orphans:
        refused.update(dead_letters.dead_letter_orphan(tx, policy, generation_id, now))
    late = chain_table.unreached(tx, policy, mark, CLOSE_AT_ONCE)
    for row in late:
        kind = "reference" if row.chain.key else "session"
        reason = f"unknown_{kind}: {row.chain} had no answer within its horizon"
        bury_on_chain(tx, policy, row, reason, now)
        refused[row.partition] += 1
    chain_table.put_dead(tx, policy, late)
    scored = episodes_table.load_episodes(tx, policy, by_stage[EpisodeStage.SCORED])
    scoring.write(tx, scored, now, due=True, read_past=mark)
    if trace_share:
        traced.note_decided(tx, policy, by_stage[EpisodeStage.OPEN], trace_share, now)
    for partition in sorted(refused):
        offsets.count_dead_lettered(tx, policy, partition, refused[partition])
    return len(rows) + len(late)


def _of_value(
    tx: Transaction, policy: str, score: Score, opened: Sequence[tuple[str, str]]
) -> list[str]:
    """Return which of these undecided answers may have a value, each with its segment.

    Of all others nothing is read: most of what ends undecided is no question of an agent.
    """
    silent, asking = list[str](), list[str]()
    for name, segment in opened:
        if score.values_undecided(segment):
            silent.append(name)
        elif score.values_unanswered(segment):
            asking.append(name)
    offered = load_offered(tx, policy, asking, score.asks_person)
    return silent + [name for name, one in offered.items() if score.only_asks(one)]
