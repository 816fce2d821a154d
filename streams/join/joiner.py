"""Joiner: records become episodes with rewards, in the poll's own transaction.

A poll's events and the offsets that carried them are taken in together or not at all. What an
episode is worth and when it is ready is asked of the reward spec, and a horizon closes only when
every partition has been read past it (CONTRACTS 9 to 13).
"""

import os
import secrets
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..answers import traced
from ..events.event import FeedbackEvent, GenerationEvent
from ..events.scored import Score
from ..events.stage import EpisodeStage
from ..log.ports import Partition, ReadPosition, Record
from ..readings.unknown_signals import count_unknown
from ..readings.unread import ReadingScope, note_unread
from ..redaction.privacy import PrivacySettings
from ..sessions.late_beginnings import Meetings
from ..state.transaction import Transaction
from . import dedup, episodes_table, erasure, fate, horizons, offsets
from .arrival import Arrival, Measure, NewArrivals
from .episodes_table import EpisodeRow
from .fate import JoinSettings
from .intake import take
from .offsets import Counts, PollCounts
from .record_reader import Owns, RecordReader, count_records, without_person
from .scoring import Horizon, Scoring

NOTHING_READ: Mapping[Partition, ReadPosition] = {}


@dataclass(slots=True, kw_only=True)
class Ingested:
    """What one poll brought."""

    counts: Counts = field(default_factory=Counts)
    """Records by what became of them."""
    generations: int = 0
    """New generations."""
    arrived: Mapping[str, Arrival] = field(default_factory=dict)
    """These, by id."""
    told: Counter[tuple[str, str]] = field(default_factory=Counter)
    """New feedback, by the variant that answered and the kind of signal."""
    late: int = 0
    """Feedback that came after its episode was sealed or closed."""


class Joiner:
    """Joins one policy's generations with their feedback.

    Several may work on one database, each on the partitions that it claimed last. Rows are locked
    in one order everywhere: event keys, episodes by id, `traced` by id, offsets by partition. With a
    `trace_share` above 0, decided answers are noted there for the tracking server.
    """

    def __init__(
        self,
        policy: str,
        score: Score,
        horizon: Horizon,
        *,
        data: Path | None = None,
        settings: JoinSettings | None = None,
        privacy: PrivacySettings | None = None,
        trace_share: float = 0.0,
        readings: ReadingScope | None = None,
        measure: Measure | None = None,
        admitted: fate.Admitted = fate.RATIO_ALONE,
        owns: Owns | None = None,
    ) -> None:
        self.policy, self.settings = policy, settings or JoinSettings()
        self.trace_share, self.readings = trace_share, readings or ReadingScope()
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.scoring = Scoring(policy, score, horizon, self.settings, measure, admitted)
        self._keys = dedup.EventKeys(policy)
        self.reader = RecordReader(policy, horizon, self._keys, data, privacy, self.readings, owns)
        self._positions: dict[Partition, int] = {}
        self._moved: dict[Partition, int] = {}
        self._meetings = Meetings()

    def resume(self, tx: Transaction, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Claim partitions that were assigned here; return where to go on with them."""
        self._keys.load(tx)
        return self._start_at(
            partitions, offsets.claim_partitions(tx, self.policy, partitions, self.owner)
        )

    def look_up(self, tx: Transaction, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Return where the store stands, without claiming what may be another's now."""
        return self._start_at(partitions, offsets.load_offsets(tx, self.policy))

    def _start_at(
        self, partitions: Sequence[Partition], known: Mapping[Partition, int]
    ) -> dict[Partition, int]:
        for partition in partitions:
            self._positions.pop(partition, None)
        starts = {p: known[p] for p in partitions if p in known}
        self._positions.update(starts)
        return starts

    def ingest(
        self,
        tx: Transaction,
        records: Sequence[Record],
        now: float,
        progress: Mapping[Partition, ReadPosition] = NOTHING_READ,
    ) -> Ingested:
        """Take in one poll's records and move the offsets that carried them.

        `progress` is how far partitions have been read with them.
        Raises StaleOffset, and the transaction leaves no trace, where another process moved one.
        """
        erased = erasure.known_to_poll(tx, self.policy)
        arrivals, polled = self.reader.read(tx, records, self._positions, now)
        if erased:
            arrivals = [without_person(arrival, erased) for arrival in arrivals]
        score, meetings = self.scoring.score, self._meetings
        taken = take(tx, self.policy, arrivals, self._keys, now, self.settings, score, meetings)
        count_records(arrivals, taken)
        late = self.settle(tx, taken, now)
        self._note(tx, taken, now)
        if erased:
            touched = [*taken.feedback, *taken.generations]
            people = {getattr(one.event.data, "user_hash", "") for one in arrivals}
            erasure.forget_feedback_on(tx, self.policy, touched, people, erased)
            erasure.forget_readings_on(tx, self.policy, taken.feedback, erased)
        return Ingested(
            counts=self._advance(tx, polled, taken.refused_before, progress, now),
            generations=len(taken.generations),
            arrived=taken.generations,
            told=taken.told(),
            late=late,
        )

    def _note(self, tx: Transaction, taken: NewArrivals, now: float) -> None:
        """Note what is to be read, and what nobody here knows."""
        said = [(one.event, one.origin) for each in taken.feedback.values() for one in each]
        served = [
            one.event.data
            for one in taken.generations.values()
            if isinstance(one.event, GenerationEvent) and one.fate == fate.WAITING
        ]
        note_unread(tx, self.policy, self.readings, said, served, now)
        posted = [event.data.signal for event, _ in said if isinstance(event, FeedbackEvent)]
        count_unknown(tx, self.policy, posted)

    def _advance(
        self,
        tx: Transaction,
        polled: Mapping[Partition, PollCounts],
        refused_before: Mapping[Partition, int],
        progress: Mapping[Partition, ReadPosition],
        now: float,
    ) -> Counts:
        """Move the offsets over what was polled; return what became of all records.

        In one pass over the partitions: who claims some of them meanwhile locks them in the same order.
        """
        total = Counts()
        for partition in sorted({*polled, *refused_before, *progress}):
            if partition in polled:
                offsets.advance_offset(tx, self.policy, partition, polled[partition], self.owner)
                total.add(polled[partition].counts)
            if count := refused_before.get(partition, 0):
                offsets.count_dead_lettered(tx, self.policy, partition, count)
            if partition in progress:
                at = {partition: progress[partition]}
                offsets.mark_read_past(tx, self.policy, at, now, self.owner)
        self._moved = {partition: counts.end for partition, counts in polled.items()}
        return total

    def committed(self) -> dict[Partition, int]:
        """Remember that the last ingest's transaction committed; return the offsets it moved."""
        self._positions.update(self._moved)
        self._meetings.committed()
        self._keys.committed()
        return self._moved

    def settle(self, tx: Transaction, taken: NewArrivals, now: float) -> int:
        """Score the episodes that a poll touched; return how many its feedback came too late for."""
        movable: list[str] = []
        late: list[str] = []
        unposted: list[str] = []
        undecided: list[str] = []
        # An episode without new feedback has nothing late, and is scored with its generation.
        for name in taken.feedback:
            row = taken.known.get(name)
            if row is None or row.stage == EpisodeStage.ORPHAN or name in taken.generations:
                continue
            if _is_final(row):
                posted = [one for one in taken.feedback[name] if not one.origin]
                (late if posted or name in taken.spread.reached else unposted).append(name)
            elif row.content is not None:
                (movable if self._may_decide(taken, name) else undecided).append(name)
        held = [
            name
            for name in late + unposted
            if taken.known[name].content is not None and self._may_decide(taken, name)
        ]
        spread = taken.spread.changed
        met = [name for name in taken.generations if name in taken.known or name in spread]
        told = [
            name
            for name in undecided
            if name in taken.lost or any(not one.origin for one in taken.feedback[name])
        ]
        feedback = episodes_table.feedback_of(tx, self.policy, met + movable + held + told)
        self.scoring.write_new(tx, taken, feedback, now)
        self.scoring.write(
            tx, episodes_table.load_episodes(tx, self.policy, movable, feedback), now
        )
        # What was trained on is frozen; what the answer is worth to a comparison is not.
        self.scoring.revise(tx, episodes_table.load_episodes(tx, self.policy, held, feedback))
        episodes_table.count_late(tx, self.policy, late)
        if self.trace_share:
            touched = {*taken.feedback, *taken.generations}
            traced.note_decided(tx, self.policy, touched, self.trace_share, now)
        return len(late)

    def _may_decide(self, taken: NewArrivals, name: str) -> bool:
        """Return whether new feedback may change a reward: without a decisive signal there is none.

        What a next request says decides nothing by most specs, and every turn of a session says
        something of the one before: so that one is not loaded for nothing.
        """
        row, moved = taken.known[name], name in taken.spread.changed
        return bool(row.decided or moved) or any(
            isinstance(one.event, FeedbackEvent)
            and self.scoring.score.decides(one.event.data.signal)
            for one in taken.feedback[name]
        )

    def close_horizons(self, tx: Transaction, now: float, *, read_past: float | None = None) -> int:
        """Close the horizons that the log was read past; return how many.

        `read_past` replaces the store's watermark: a replay has read everything there will ever be.
        """
        mark = offsets.watermark(tx, self.policy) if read_past is None else read_past
        return horizons.close_horizons(
            tx, self.policy, self.scoring, mark, now, trace_share=self.trace_share
        )


def _is_final(row: EpisodeRow) -> bool:
    """Whether feedback comes too late for an episode: it is in a batch, or its decision is over."""
    closed = row.stage == EpisodeStage.CLOSED and not row.fate.startswith("excluded:")
    return row.batch_id is not None or closed
