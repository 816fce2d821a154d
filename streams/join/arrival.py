"""Arrival: an event that a poll brought, on its way into the tables."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from ..answers import own_numbers
from ..answers.answer_tallies import kind_label, variant_label
from ..answers.session_turns import note_turns
from ..attribution.attributing import Lost
from ..attribution.spreading import UNSPREAD, Spread
from ..events.answer_outcome import counts_of, outcome_of, variant_counted
from ..events.episode import Attribution, Timed, order_feedback
from ..events.event import Event, FeedbackEvent, GenerationEvent, encode_event
from ..events.generation import SHADOW, Generation
from ..events.stage import EpisodeStage
from ..log.ports import Partition, Record
from ..sessions.contents import Content, put_contents, without_shared
from ..sessions.linking import UNLINKED, LinkedTurn
from ..sessions.spelled import without_tokens
from ..state.transaction import Transaction
from .episodes_table import UNSCORED, EpisodeRow, NewRow, put_generations
from .fate import WAITING
from .offsets import Counts

Measure = Callable[[Generation], str | None]
"""What an answer does, as JSON of numbers by name; None where its record does not hold it."""


class Arrival(NamedTuple):
    """One record that holds an event, or a signal that follows from one."""

    event: Event
    """What the record says."""
    record: Record
    """Where it stands on the log, and its bytes."""
    received: float
    """When the event was received, epoch seconds."""
    due: float
    """Until when its episode waits for a decision, by what this event says of it."""
    read_until: float
    """Until when its episode waits at least, since it was read only now."""
    fate: str
    """For a generation: `waiting`, or the rule that excludes it at once."""
    counts: Counts
    """Where it is counted."""
    unread: bool = False
    """For a generation: nobody could look at what stands before its own texts."""
    origin: str = ""
    """For a signal that nobody posted: the generation whose record says so."""
    attribution: Attribution | None = None
    """For feedback that names a session or a reference: how it reaches the answer."""


def _without_tokens(arrival: Arrival) -> Arrival:
    assert isinstance(arrival.event, GenerationEvent)
    event = without_tokens(arrival.event)
    record = msgspec.structs.replace(arrival.record, value=encode_event(event))
    return arrival._replace(event=event, record=record)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArrivals:
    """The events of one poll that were new."""

    generations: Mapping[str, Arrival]
    """New generations by id; nothing of them is written yet."""
    feedback: Mapping[str, Sequence[Arrival]]
    """New feedback by generation, written."""
    known: Mapping[str, EpisodeRow]
    """Rows there were already, of all that is named above."""
    refused: Sequence[Arrival]
    """New feedback that does not count; it is dead-lettered."""
    refused_before: Mapping[Partition, int]
    """Feedback of earlier polls that turned out not to count, by where it stood."""
    links: Mapping[str, LinkedTurn]
    """Where the new generations lead, of those that are turns of a session."""
    on_chains: Sequence[Arrival] = ()
    """New feedback on sessions and references; what it reaches is in `feedback` too."""
    spelled: Collection[str] = ()
    """Turns whose tokens spell what was redacted before them, and are not kept."""
    lost: frozenset[str] = frozenset()
    """Answers that feedback on a session or a reference does not reach any more, or otherwise."""
    spread: Spread = UNSPREAD
    """Answers that have more, or less, of what was said of later ones."""

    def kept(self) -> Mapping[str, Arrival]:
        """Return the new generations as they may be kept."""
        spelled = {
            name: _without_tokens(self.generations[name])
            for name in self.spelled
            if name in self.generations
        }
        return {**self.generations, **spelled} if spelled else self.generations

    @property
    def new(self) -> list[Arrival]:
        """All that was new."""
        return [
            *self.generations.values(),
            *(one for each in self.feedback.values() for one in each),
            *self.on_chains,
        ]

    def told(self) -> Counter[tuple[str, str]]:
        """Count what was posted, by variant and kind of signal, as labels: `chain` is of no one answer."""
        found = Counter(("chain", kind_label(one.event.data)) for one in self.on_chains)
        for name, each in self.feedback.items():
            for one in each:
                if one.origin or one.attribution is not None:
                    continue
                new, row = self.generations.get(name), self.known.get(name)
                said = row and row.variant
                if new is not None and isinstance(new.event, GenerationEvent):
                    said = variant_counted(new.event.data)
                found[variant_label(said), kind_label(one.event.data)] += 1
        return found

    def alone(self, name: str) -> tuple[Timed, ...] | None:
        """Return the feedback on a generation that had no row; None where none came."""
        arrived = self.feedback.get(name)
        if arrived is None:
            return None
        return order_feedback(
            [
                Timed(
                    feedback=one.event.data,
                    acted_at=one.event.time.timestamp(),
                    received_at=one.received,
                    origin=one.origin,
                    attribution=one.attribution,
                )
                for one in arrived
                if isinstance(one.event, FeedbackEvent)
            ]
        )


@dataclass(slots=True, kw_only=True)
class OnChains:
    """What feedback on sessions and references comes to in a poll."""

    taken: list[Arrival] = field(default_factory=list)
    """The records that are new and count."""
    refused: list[Arrival] = field(default_factory=list)
    """Those that are new and do not; they are dead-lettered."""
    refused_before: list[Partition] = field(default_factory=list)
    """Where earlier ones stood that turned out not to count."""
    reaching: list[Arrival] = field(default_factory=list)
    """What answers have of it now, as if it had named each."""
    lost: list[Lost] = field(default_factory=list)
    """What they have no more, or otherwise."""


def write_generations(
    tx: Transaction,
    policy: str,
    new: Iterable[tuple[Arrival, NewRow | None]],
    links: Mapping[str, LinkedTurn],
    measure: Measure | None,
) -> None:
    """Write new generations, with their rewards where these are known already.

    A generation with a fate other than waiting is closed at once and holds no content: what may not
    be trained on is counted, not kept.
    """
    arrivals = list(new)
    contents = put_contents(
        tx,
        policy,
        [_content(arrival, links) for arrival, _ in arrivals if arrival.fate == WAITING],
    )
    moved = note_turns(
        tx,
        policy,
        [
            (arrival.event.data, arrival.received)
            for arrival, _ in arrivals
            if isinstance(arrival.event, GenerationEvent)
        ],
    )
    put_generations(
        tx,
        [
            _generation_row(
                *(policy, arrival, worth, contents.get(name)),
                *(links.get(name, UNLINKED), name in moved, measure),
            )
            for arrival, worth in arrivals
            for name in (arrival.event.data.generation_id,)
        ],
    )
    own_numbers.put_served_numbers(
        tx,
        policy,
        [
            (arrival.event.data.generation_id, arrival.event.data.numbers)
            for arrival, _ in arrivals
            if isinstance(arrival.event, GenerationEvent) and arrival.event.data.numbers
        ],
    )


def _content(arrival: Arrival, links: Mapping[str, LinkedTurn]) -> Content:
    """Return what is kept of a record: of its prompt what its base does not have."""
    name = arrival.event.data.generation_id
    base = links.get(name, UNLINKED).base
    if base is None:
        return Content(name, arrival.record.value)
    assert isinstance(arrival.event, GenerationEvent)
    payload = without_shared(arrival.event, base.shared)
    return Content(name, payload, base.generation_id, base.shared)


def _generation_row(
    policy: str,
    arrival: Arrival,
    worth: NewRow | None,
    content: int | None,
    linked: LinkedTurn,
    moved: bool,
    measure: Measure | None,
) -> tuple[Any, ...]:
    event, record, received, due, read_until, fate, *_ = arrival
    assert isinstance(event, GenerationEvent)
    data, partition, outcome = event.data, record.partition, outcome_of(event.data)
    written, *counted = counts_of(data, outcome)
    if worth is None:
        stage = EpisodeStage.OPEN if fate == WAITING else EpisodeStage.CLOSED
        worth = UNSCORED._replace(stage=stage, fate=fate, due=due)
    return (
        *(policy, data.generation_id, received, int(received // 86400)),
        *(data.segment, data.user_hash, data.salt),
        variant_counted(data),
        data.version,
        int(outcome.empty),
        int(outcome.failed),
        int(outcome.cut),
        int(data.user_named),
        data.harness,
        data.latency_seconds if data.latency_seconds > 0 and not outcome.failed else None,
        written,
        int(not data.parent_id and not data.earlier_answers and not linked.history),
        *(partition.topic, partition.index),
        *counted,
        int(moved),
        min(event.time.timestamp(), received),  # No clock makes a request later than its answer.
        # Of a mirrored answer nothing is kept but how it ended.
        None if measure is None or data.variant == SHADOW else measure(data),
        *(record.offset, content, data.tenant, data.session_id),
        *linked.columns,
        read_until,
        worth.stage.value,
        *worth[1:],
    )
