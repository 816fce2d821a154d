"""Join: records become episodes, within per-signal horizons, in the poll's own transaction.

A poll's events and the offsets that carried them are taken in together or not at all; from there
on, what an episode is worth and when it is ready is asked of the reward spec, and a horizon closes
only when every partition has been read past it (CONTRACTS 9 to 13).
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from . import deadletter, episodes, fate, offsets
from .deadletter import DeadLetter
from .episode import Episode
from .episodes import Scored
from .event import Event, GenerationEvent, MalformedEvent, decode_event
from .offsets import Counts
from .source import Partition, Record
from .transaction import Transaction

MIGRATIONS = (offsets.OFFSETS + ";" + deadletter.DEAD_LETTERS + ";" + episodes.EPISODES,)

Score = Callable[[Episode], Scored | None]
"""What an episode is worth, or None while nothing decisive is known."""
Horizon = Callable[[str], float]
"""Seconds until an episode of a segment is given up without a decision."""

CLOSE_AT_ONCE = 10_000
"""Most horizons closed in one transaction, so that a backlog never holds the database."""


@dataclass(slots=True, kw_only=True)
class Ingested:
    """What one poll brought."""

    counts: Counts = field(default_factory=Counts)
    """Records by what became of them."""
    generations: int = 0
    """New generations."""
    feedback: int = 0
    """New feedback."""
    late: int = 0
    """Feedback that came after its episode was sealed or closed."""


class Joiner:
    """Joins one policy's generations with their feedback."""

    def __init__(self, policy: str, score: Score, horizon: Horizon) -> None:
        self.policy, self.score, self.horizon = policy, score, horizon
        self._positions: dict[Partition, int] = {}
        self._moved: dict[Partition, int] = {}

    def resume(self, tx: Transaction, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Return where to go on, and remember it as where the next poll starts."""
        known = offsets.load_offsets(tx, self.policy)
        for partition in partitions:
            self._positions.pop(partition, None)
        resumed = {p: known[p] for p in partitions if p in known}
        self._positions.update(resumed)
        return resumed

    def ingest(self, tx: Transaction, records: Sequence[Record], now: float) -> Ingested:
        """Take in one poll's records and move the offsets that carried them.

        Raises StaleOffset, and the transaction leaves no trace, where another process moved one.
        """
        result, touched = Ingested(), dict[str, None]()
        by_partition = defaultdict[Partition, list[Record]](list)
        for record in records:
            by_partition[record.partition].append(record)
        moved: dict[Partition, int] = {}
        for partition, batch in by_partition.items():
            counts, newest = self._take_all(tx, batch, result, touched, now)
            start = self._positions.get(partition, batch[0].offset)
            moved[partition] = batch[-1].offset + 1
            offsets.advance_offset(
                tx, self.policy, partition, start, moved[partition], counts, len(batch)
            )
            offsets.mark_received(tx, self.policy, [(partition, newest)])
            result.counts.add(counts)
        result.late = self.settle(tx, list(touched), now)
        self._moved = moved
        return result

    def committed(self) -> dict[Partition, int]:
        """Remember that the last ingest's transaction committed; return the offsets it moved."""
        self._positions.update(self._moved)
        return self._moved

    def settle(self, tx: Transaction, ids: Sequence[str], now: float) -> int:
        """Look again at what these episodes are worth; return how many it came too late for."""
        movable: list[str] = []
        late: list[str] = []
        for generation_id in ids:
            stage, batch_id, closed_as = tx.execute(
                "SELECT stage, batch_id, fate FROM episodes WHERE policy = ? AND generation_id = ?",
                (self.policy, generation_id),
            ).fetchone()
            if stage == "orphan":
                continue
            final = stage == "closed" and not closed_as.startswith("excluded:")
            (late if batch_id is not None or final else movable).append(generation_id)
        for episode in episodes.load_episodes(tx, self.policy, movable):
            self._score(tx, episode, now)
        episodes.count_late(tx, self.policy, late)
        return len(late)

    def close_horizons(self, tx: Transaction, now: float, *, read_past: float | None = None) -> int:
        """Give up what waited past its horizon, and make ready what waited for it; return how many.

        `read_past` replaces the store's watermark: a replay has read everything there will ever be.
        """
        mark = offsets.watermark(tx, self.policy) if read_past is None else read_past
        rows = tx.execute(
            "SELECT generation_id, stage FROM episodes WHERE policy = ?"
            " AND stage IN ('open', 'scored', 'orphan') AND due < ? ORDER BY due LIMIT ?",
            (self.policy, mark, CLOSE_AT_ONCE),
        ).fetchall()
        by_stage = defaultdict[str, list[str]](list)
        for generation_id, stage in rows:
            by_stage[stage].append(generation_id)
        episodes.close(tx, self.policy, by_stage["open"], fate.NO_DECISION)
        for generation_id in by_stage["orphan"]:
            self._bury_orphan(tx, generation_id, now)
        for episode in episodes.load_episodes(tx, self.policy, by_stage["scored"]):
            self._score(tx, episode, now, due=True)
        return len(rows)

    def _take_all(
        self,
        tx: Transaction,
        batch: Sequence[Record],
        result: Ingested,
        touched: dict[str, None],
        now: float,
    ) -> tuple[Counts, float]:
        counts, newest = Counts(), 0.0
        for record in batch:
            try:
                event = decode_event(record.value)
            except MalformedEvent as problem:
                letter = DeadLetter(
                    partition=record.partition,
                    offset=record.offset,
                    reason=str(problem),
                    value=record.value,
                )
                if deadletter.bury(tx, self.policy, letter, now):
                    counts.dead_lettered += 1
                else:
                    counts.duplicate += 1
                continue
            newest = max(newest, event.receivedtime.timestamp())
            if self._is_new(tx, event) and self._take(tx, event, record, result):
                counts.accepted += 1
                touched[event.data.generation_id] = None
            else:
                counts.duplicate += 1
        return counts, newest

    def _is_new(self, tx: Transaction, event: Event) -> bool:
        identity = f"{event.source}\0{event.id}".encode()
        key = hashlib.blake2b(identity, digest_size=16).digest()
        return (
            tx.execute(
                "INSERT INTO event_keys VALUES (?, ?) ON CONFLICT DO NOTHING", (self.policy, key)
            ).rowcount
            == 1
        )

    def _take(self, tx: Transaction, event: Event, record: Record, result: Ingested) -> bool:
        received = event.receivedtime.timestamp()
        if isinstance(event, GenerationEvent):
            due = received + self.horizon(event.data.segment)
            ends = fate.exclusion_at_ingest(event.data) or fate.WAITING
            new = episodes.put_generation(tx, self.policy, event, record, due=due, fate=ends)
            result.generations += new
        else:
            due = received + self.horizon("default")
            new = episodes.put_feedback(tx, self.policy, event, record, due=due)
            result.feedback += new
        return new

    def _score(self, tx: Transaction, episode: Episode, now: float, *, due: bool = False) -> None:
        scored = self.score(episode)
        if scored is None:
            # What was decisive has been taken back: it waits again, and its horizon closes it.
            self._reopen(tx, episode)
            return
        excluded = fate.exclusion_from_training(episode.generation)
        if excluded is not None:
            stage, ends = "closed", excluded
        else:
            stage, ends = ("ready" if due or not scored.ready_at else "scored"), fate.WAITING
        episodes.put_score(tx, self.policy, episode, scored, stage=stage, fate=ends, now=now)

    def _reopen(self, tx: Transaction, episode: Episode) -> None:
        tx.execute(
            "UPDATE episodes SET stage = 'open', fate = ?, reward = NULL, parts = NULL, due = ?"
            " WHERE policy = ? AND generation_id = ? AND reward IS NOT NULL AND batch_id IS NULL",
            (
                fate.WAITING,
                episode.received_at + self.horizon(episode.generation.segment),
                self.policy,
                episode.id,
            ),
        )

    def _bury_orphan(self, tx: Transaction, generation_id: str, now: float) -> None:
        rows = tx.execute(
            'SELECT topic, partition, "offset", payload FROM feedback'
            " WHERE policy = ? AND generation_id = ? AND dead = 0",
            (self.policy, generation_id),
        ).fetchall()
        for topic, index, offset, payload in rows:
            letter = DeadLetter(
                partition=Partition(topic=topic, index=index),
                offset=offset,
                reason=f"unknown_generation: {generation_id} never came within its horizon",
                value=bytes(payload),
            )
            deadletter.bury(tx, self.policy, letter, now)
            tx.execute(
                "UPDATE offsets SET accepted = accepted - 1, dead_lettered = dead_lettered + 1"
                " WHERE policy = ? AND topic = ? AND partition = ?",
                (self.policy, topic, index),
            )
        tx.execute(
            "UPDATE feedback SET dead = 1 WHERE policy = ? AND generation_id = ?",
            (self.policy, generation_id),
        )
        episodes.close(tx, self.policy, [generation_id], fate.DEAD_LETTERED)
