"""Intake: one poll's events written into the tables, many rows to a statement.

Which events are new is decided before anything but event keys and feedback is written: on SQLite no
other process writes meanwhile, on a server the rows are locked. So a generation that comes with its
feedback, or after it, is written once, with its reward. Of two records of one poll with the same
name the first counts.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ..attribution.chain_table import hold_chains
from ..attribution.chains_around import ChainsAround
from ..events.event import Feedback, FeedbackEvent, GenerationEvent
from ..events.scored import Score
from ..events.signals import ToolResult, kind_of
from ..events.stage import EpisodeStage
from ..sessions.late_beginnings import Meetings
from ..sessions.linking import LinkedTurn, LinkedTurns
from ..state.bulk import insert_rows
from ..state.transaction import Transaction, is_shared
from . import feedback_checks
from .arrival import Arrival, NewArrivals
from .conversations import (
    attribute_feedback,
    held_arrivals,
    link_conversations,
    otherwise_seen,
    take_from_answers,
    write_conversations,
)
from .dedup import EventKeys, key_of
from .episodes_table import (
    EpisodeRow,
    standings,
)
from .fate import WAITING, JoinSettings
from .feedback_checks import FeedbackKey

_ENCODE = msgspec.json.Encoder().encode


def take(
    tx: Transaction,
    policy: str,
    arrivals: Sequence[Arrival],
    keys: EventKeys,
    now: float,
    settings: JoinSettings,
    score: Score,
    meetings: Meetings,
) -> NewArrivals:
    """Take in one poll's feedback, and find the generations that are new, and where they lead."""
    fresh, came, on_chains = _unknown(tx, arrivals, keys)
    if score.over_chain or score.spreads:
        # Turns of one chain may come in two polls at once: each must see the other's.
        hold_chains(tx, told=True)
    held = held_arrivals(fresh)
    linked, signals = link_conversations(tx, policy, fresh, held, settings, meetings)
    cap = settings.feedback_per_kind
    on_chain = attribute_feedback(tx, policy, on_chains, held, linked, score, cap, now)
    came |= {_key_of(arrival): arrival for arrival in [*signals, *on_chain.reaching]}
    lost = {one.generation_id for one in on_chain.lost}
    names = {arrival.event.data.generation_id: arrival for arrival in [*fresh, *came.values()]}
    seen = otherwise_seen(linked)
    chains = ChainsAround(tx, policy, held, linked, names, score)
    known = _known(tx, policy, names, lost | seen | chains.answers | _bases(linked))
    take_from_answers(tx, policy, on_chain.lost)
    generations = _not_taken(fresh, known)
    new = {key: came[key] for key in _put_feedback(tx, policy, came, known, now)}
    served = {name: arrival.event.data.tenant for name, arrival in generations.items()}
    said = {key: arrival.event.data for key, arrival in new.items()}
    stood = feedback_checks.refuse_feedback(tx, policy, said, served, known, now, cap)
    write_conversations(tx, policy, linked, generations, meetings)
    spread = chains.spread_again()
    touched = lost | seen | (chains.costed | spread.changed) & known.keys()
    feedback = _by_answer({key: one for key, one in new.items() if key not in stood}, touched)
    _put_orphans(tx, policy, feedback, known.keys() | generations.keys())
    return NewArrivals(
        generations=generations,
        feedback=feedback,
        known=known,
        refused=[*(new[key] for key in stood if key in new), *on_chain.refused],
        refused_before=Counter(
            [*(at for key, at in stood.items() if key not in new), *on_chain.refused_before]
        ),
        links={name: _with_held_base(one, known, generations) for name, one in linked.new.items()},
        on_chains=on_chain.taken,
        spelled=linked.spelled,
        lost=frozenset(lost | seen),
        spread=spread,
    )


def _bases(linked: LinkedTurns) -> set[str]:
    return {one.base.generation_id for one in linked.new.values() if one.base}


def _by_answer(new: Mapping[FeedbackKey, Arrival], touched: set[str]) -> dict[str, list[Arrival]]:
    """Return new feedback by answer; of answers that are worth something else without any none."""
    found: dict[str, list[Arrival]] = {}
    for key, arrival in new.items():
        found.setdefault(key.generation_id, []).append(arrival)
    for name in sorted(touched):
        found.setdefault(name, [])
    return found


def _not_taken(fresh: Sequence[Arrival], known: Mapping[str, EpisodeRow]) -> dict[str, Arrival]:
    """Return the generations that are in no row yet; of several of one id the first."""
    found: dict[str, Arrival] = {}
    for arrival in fresh:
        name = arrival.event.data.generation_id
        if name not in known or known[name].received is None:
            found.setdefault(name, arrival)
    return found


def _with_held_base(
    linked: LinkedTurn, known: Mapping[str, EpisodeRow], new: Mapping[str, Arrival]
) -> LinkedTurn:
    """Return a link without its base where that is not held any more."""
    base = linked.base
    if base is None:
        return linked
    name = base.generation_id
    held = name in known and known[name].content is not None
    if held or (name in new and new[name].fate == WAITING):
        return linked
    return linked._replace(base=None)


def _unknown(
    tx: Transaction, arrivals: Sequence[Arrival], keys: EventKeys
) -> tuple[list[Arrival], dict[FeedbackKey, Arrival], list[Arrival]]:
    """Return the generations with new event keys, all feedback by its identity, and that on chains.

    The answer is part of it: clients name the thumbs of many answers alike.
    """
    first: dict[bytes, Arrival] = {}
    came: dict[FeedbackKey, Arrival] = {}
    on_chains: list[Arrival] = []
    for arrival in arrivals:
        event = arrival.event
        first.setdefault(key_of(event.source, event.id), arrival)
        if isinstance(event, FeedbackEvent) and event.data.generation_id:
            came.setdefault(_key_of(arrival), arrival)
        elif isinstance(event, FeedbackEvent):
            on_chains.append(arrival)
    unknown = keys.add(tx, list(first))
    fresh = [
        arrival
        for key, arrival in first.items()
        if key in unknown and isinstance(arrival.event, GenerationEvent)
    ]
    return fresh, came, on_chains


def _key_of(arrival: Arrival) -> FeedbackKey:
    said = arrival.event.data
    assert isinstance(said, Feedback)
    return FeedbackKey(said.generation_id, said.feedback_id, said.tenant)


def _known(
    tx: Transaction, policy: str, names: Mapping[str, Arrival], others: set[str]
) -> dict[str, EpisodeRow]:
    """Return how these rows stand, and on a server keep them so until the transaction ends."""
    more = others - names.keys()
    if is_shared(tx):
        _lock(tx, policy, {**dict.fromkeys(more, 0.0), **{n: a.due for n, a in names.items()}})
    return standings(tx, policy, [*names, *more])


def _lock(tx: Transaction, policy: str, due_of: Mapping[str, float]) -> None:
    """Lock these episodes until the transaction ends; make rows where there are none.

    What is read of an episode afterwards is then all that was committed about it. Ids are locked in
    order, so that two transactions never wait for each other in a circle.
    """
    insert_rows(
        tx,
        "INSERT INTO episodes (policy, generation_id, stage, fate, due) VALUES ",
        [
            (policy, name, EpisodeStage.ORPHAN.value, WAITING, due_of[name])
            for name in sorted(due_of)
        ],
        " ON CONFLICT (policy, generation_id) DO UPDATE SET generation_id = excluded.generation_id"
        " RETURNING 1",
    )


def _put_feedback(
    tx: Transaction,
    policy: str,
    came: Mapping[FeedbackKey, Arrival],
    known: Container[str],
    now: float,
) -> list[FeedbackKey]:
    """Take in feedback; return what is new."""
    head = (
        "INSERT INTO feedback (policy, generation_id, feedback_id, tenant, kind, acted, received, payload,"
        ' topic, partition, "offset", origin, attribution, taken) VALUES '
    )
    # A generation without a row has no feedback yet, so nothing here can be known already.
    first = [names for names in came if names[0] not in known]
    insert_rows(tx, head, [_feedback_row(policy, came[names], now) for names in first])
    more = [_feedback_row(policy, came[names], now) for names in came if names[0] in known]
    returning = " ON CONFLICT DO NOTHING RETURNING generation_id, feedback_id, tenant"
    return first + [FeedbackKey._make(row) for row in insert_rows(tx, head, more, returning)]


def put_attributed(tx: Transaction, policy: str, reaching: Iterable[Arrival]) -> None:
    """Write what feedback on chains says of answers, as if it had named each."""
    came = {_key_of(arrival): arrival for arrival in reaching}
    _put_feedback(tx, policy, came, {key.generation_id for key in came}, 0.0)


def _feedback_row(policy: str, arrival: Arrival, now: float) -> tuple[Any, ...]:
    event, record = arrival.event, arrival.record
    assert isinstance(event, FeedbackEvent)
    data, partition = event.data, record.partition
    return (
        policy,
        data.generation_id,
        data.feedback_id,
        data.tenant,
        kind_of(data.signal),
        event.time.timestamp(),
        arrival.received,
        _ENCODE(data),
        partition.topic,
        partition.index,
        record.offset,
        arrival.origin,
        None if arrival.attribution is None else _ENCODE(arrival.attribution).decode(),
        now if now and isinstance(data.signal, ToolResult) else None,
    )


def _put_orphans(
    tx: Transaction, policy: str, feedback: Mapping[str, Sequence[Arrival]], known: Container[str]
) -> None:
    """Make rows for generations that have not come, so that their feedback waits for them."""
    insert_rows(
        tx,
        "INSERT INTO episodes (policy, generation_id, stage, fate, due) VALUES ",
        [
            (policy, name, EpisodeStage.ORPHAN.value, WAITING, each[-1].due)
            for name, each in feedback.items()
            if each and name not in known
        ],
    )
