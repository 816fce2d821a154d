"""RecordReader: a poll's records become arrivals; what cannot be read becomes a dead letter."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from ..events.event import Event, GenerationEvent, MalformedEvent, decode_event, encode_event
from ..events.generation import Generation
from ..events.signals import Judged
from ..events.vouched import is_vouched
from ..log.claim_check import DataMissing, resolve
from ..log.ports import Partition, Record
from ..readings.reading_keys import reading_keys
from ..readings.unread import ReadingScope
from ..redaction.privacy import PrivacySettings
from ..redaction.redacted_event import redact_event
from ..state.transaction import Transaction
from . import dead_letters, fate
from .arrival import Arrival, NewArrivals
from .dead_letters import DeadLetter
from .dedup import EventKeys, key_of
from .offsets import PollCounts
from .scoring import Horizon

LOG_BEHIND_SECONDS = 600.0
"""For how long after it was read an episode waits at least; never longer than its own horizon.

A gateway that was cut off sends its backlog with the receive times of then, after other gateways'
records have moved the watermark past them. The feedback on such an answer stands behind it in the
log, or is on its way from the same spool."""


Owns = Callable[[Generation], bool]
"""Whether an answer is this policy's to learn from."""


class RecordReader:
    """Decodes one policy's records. `data` is the folder of events too large for the log.

    Of an answer that another policy `owns` nothing is kept but that it came. Texts that their writer did not look at are redacted here, before anything of them is kept.
    """

    def __init__(
        self,
        policy: str,
        horizon: Horizon,
        keys: EventKeys,
        data: Path | None = None,
        privacy: PrivacySettings | None = None,
        readings: ReadingScope | None = None,
        owns: Owns | None = None,
    ) -> None:
        self.owns = owns
        self.policy, self.horizon, self.data = policy, horizon, data
        self.privacy = privacy or PrivacySettings()
        self.readings = readings or ReadingScope()
        self._keys = keys

    def read(
        self,
        tx: Transaction,
        records: Sequence[Record],
        positions: Mapping[Partition, int],
        now: float,
    ) -> tuple[list[Arrival], dict[Partition, PollCounts]]:
        """Return what arrived, and each partition's counts; malformed records are refused here.

        `positions` says where the poll started in each partition that was read before.
        """
        arrivals = list[Arrival]()
        counts = dict[Partition, PollCounts]()
        for partition, batch in by_partition(records).items():
            counts[partition] = PollCounts(
                start=positions.get(partition, batch[0].offset),
                end=batch[-1].offset + 1,
                delivered=len(batch),
            )
            arrivals += self._read_batch(tx, batch, counts[partition], now)
        return arrivals, counts

    def _read_batch(
        self, tx: Transaction, batch: Sequence[Record], counts: PollCounts, now: float
    ) -> list[Arrival]:
        arrivals: list[Arrival] = []
        wait = self.horizon("default")
        for record in batch:
            try:
                event, record, unread = self._decode(tx, record)
            except MalformedEvent as problem:
                self._refuse(tx, record, problem, counts, now)
                continue
            received = event.receivedtime.timestamp()
            horizon, ends = wait, fate.WAITING
            if isinstance(event, GenerationEvent):
                horizon = self.horizon(event.data.segment)
                ends = fate.exclusion_at_ingest(event.data) or fate.WAITING
                if self.owns is not None and not self.owns(event.data):
                    event, ends = _of_nobody(event), fate.OTHER_POLICY
            read_until = now + min(horizon, LOG_BEHIND_SECONDS)
            due = max(received + horizon, read_until)
            arrivals.append(
                Arrival(event, record, received, due, read_until, ends, counts.counts, unread)
            )
        # No record was received after it was read: one wrong year must not close every horizon.
        counts.newest = min(max((arrival.received for arrival in arrivals), default=0.0), now)
        return arrivals

    def _decode(self, tx: Transaction, record: Record) -> tuple[Event, Record, bool]:
        """Return a record's event, and the record with the bytes of its file where it names one.

        Last stands whether its writer did not look for what is redacted.
        """
        value = resolve(record.value, self.data)
        if value is not record.value:
            record = msgspec.structs.replace(record, value=value)
        came = event = decode_event(value)
        self._check_reading(tx, event)
        unread = event.data.redacted is None and self.privacy.redacts(event.data.tenant)
        if unread:
            event = redact_event(event, self.privacy.exempts(event.data.tenant))
        if isinstance(event, GenerationEvent) and event.data.purposes is None:
            agreed = self.privacy.agreed(event.data)
            if agreed.may_train != event.data.may_train:
                event = msgspec.structs.replace(event, data=agreed)
        # What is kept is the record; where nothing was found it stays byte by byte as it came.
        if event is not came and (event.data.redacted or _may_train(event) != _may_train(came)):
            record = msgspec.structs.replace(record, value=encode_event(event))
        return event, record, unread

    def _check_reading(self, tx: Transaction, event: Event) -> None:
        """Refuse a reading that no daemon of this policy wrote."""
        if isinstance(event, GenerationEvent) or type(event.data.signal) is not Judged:
            return
        if self.readings.unproven:
            return
        keys = (*self.readings.keys, *reading_keys(tx, self.policy))
        if not is_vouched(event, keys):
            raise MalformedEvent(
                "$.data.signal.proof: `judged` is written by the daemon alone, and no key of this"
                " policy made this proof"
            )

    def _refuse(
        self,
        tx: Transaction,
        record: Record,
        problem: MalformedEvent,
        counts: PollCounts,
        now: float,
    ) -> None:
        if isinstance(problem, DataMissing) and self._keys.known(
            tx, key_of(problem.source, problem.id)
        ):
            # The event was read while its file was there; read again, it changes nothing.
            counts.counts.duplicate += 1
            return
        letter = DeadLetter(
            partition=record.partition,
            offset=record.offset,
            reason=str(problem),
            value=record.value,
        )
        if dead_letters.put_dead_letter(tx, self.policy, letter, now):
            counts.counts.dead_lettered += 1
        else:
            counts.counts.duplicate += 1


def _may_train(event: Event) -> bool:
    return isinstance(event, GenerationEvent) and event.data.may_train


def _of_nobody(event: GenerationEvent) -> GenerationEvent:
    """Return of another policy's record that it came, and whose it is.

    What else it says is of people who are none of this policy's: their hashes, their product's numbers and
    references, what they asked and what tools were called. Whoever wrote it here has no say in a rollout.
    """
    data = event.data
    bare = Generation(
        generation_id=data.generation_id,
        session_id=data.session_id,
        session_found="chance",
        tenant=data.tenant,
        segment=data.segment,
        policy=data.policy,
        user_named=False,
    )
    return msgspec.structs.replace(event, data=bare)


def by_partition(records: Sequence[Record]) -> dict[Partition, list[Record]]:
    """Group records by where they stood; they mostly come in runs of one partition."""
    found: dict[Partition, list[Record]] = {}
    last: Partition | None = None
    for record in records:
        if record.partition is not last:
            last = record.partition
            batch = found.setdefault(last, [])
        batch.append(record)
    return found


def count_records(arrivals: Iterable[Arrival], taken: NewArrivals) -> None:
    """Count records by what became of them, each where it came from."""
    new = {id(arrival) for arrival in taken.new}
    refused = {id(arrival) for arrival in taken.refused}
    for arrival in arrivals:
        if id(arrival) in new:
            arrival.counts.accepted += 1
        elif id(arrival) in refused:
            arrival.counts.dead_lettered += 1
        else:
            arrival.counts.duplicate += 1


def without_person(arrival: Arrival, erased: Mapping[str, str]) -> Arrival:
    """Return a record of an erased person under the name drawn for them; any other as it is."""
    event = arrival.event
    if event.data.user_hash not in erased:
        return arrival
    alias = erased[event.data.user_hash]
    if isinstance(event, GenerationEvent):
        data = msgspec.structs.replace(event.data, user_hash=alias)
        return arrival._replace(event=msgspec.structs.replace(event, data=data), fate=fate.ERASED)
    said = msgspec.structs.replace(event.data, user_hash=alias)
    return arrival._replace(event=msgspec.structs.replace(event, data=said))
