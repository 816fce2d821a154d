"""Attributing: feedback on sessions and references finds its answers, whichever comes first.

Whenever feedback on a chain comes, or an answer of a chain that feedback is on, what the feedback
reaches is worked out anew from all that is known, so that the order of arrival does not matter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from ..events.episode import Attribution, AttributionRule
from ..events.event import Feedback, decode_feedback
from ..events.signals import Signal
from ..sessions.contents import Held
from ..sessions.linking import LinkedTurns
from ..state.transaction import Transaction
from . import chain_table
from .chain import ChainAct, ChainAnswer, ChainKey, reached
from .chain_answers import ChainReader
from .chain_table import REACHED, WAITING, ChainRow
from .referenced import put_references

RuleOf = Callable[[Signal], AttributionRule]
"""What the reward spec says of a kind of signal."""


class Reaching(NamedTuple):
    """One feedback on a chain, as it stands with one of its answers."""

    feedback: Feedback
    """As if it had named the answer."""
    attribution: Attribution
    """By what right it does."""
    row: ChainRow
    """The record that says so."""


class Lost(NamedTuple):
    """Feedback that an answer has no more, or otherwise."""

    generation_id: str
    """The answer."""
    feedback_id: str
    """The feedback's id there."""
    tenant: str
    """Its tenant."""


@dataclass(slots=True, kw_only=True)
class Attributed:
    """What changed in a poll."""

    new: set[tuple[ChainKey, str]] = field(default_factory=set)
    """The feedback on chains that was new: chain and id."""
    reaching: list[Reaching] = field(default_factory=list)
    """What now stands with answers."""
    lost: list[Lost] = field(default_factory=list)
    """What is to be taken from answers first."""
    refused: list[ChainRow] = field(default_factory=list)
    """Feedback on chains that have enough of its kind; it reaches nothing."""


def attribute(
    tx: Transaction,
    policy: str,
    came: Sequence[ChainRow],
    new: Mapping[str, Held],
    found: LinkedTurns,
    rule_of: RuleOf,
    cap: int,
) -> Attributed:
    """Take in feedback on chains; return what it, and older feedback, reaches by now and did not before.

    `new` are the poll's generations, and `found` says where its turns lead; of neither anything is
    written yet. The caller writes the changes of `reaching` and `lost`.
    """
    chain_table.hold_chains(tx, told=bool(came))
    put_references(tx, policy, _references(new))
    done = Attributed()
    if came:
        done.new = chain_table.put_rows(tx, policy, came)
        told = {chain for chain, _ in done.new}
        done.refused = chain_table.beyond_cap(tx, policy, told, cap)
        chain_table.put_dead(tx, policy, done.refused)
        for row in done.refused:
            done.lost += [Lost(name, named(row), row.chain.tenant) for name in row.reached]
    if not new or not chain_table.any_chain_feedback(tx, policy):
        since = dict[ChainKey, float]()
    else:
        since = _since(ChainReader(tx, policy, new, found), new, found)
    chains = since.keys() | {chain for chain, _ in done.new}
    if not chains:
        return done
    reader = ChainReader(tx, policy, new, found)
    for chain, rows in sorted(chain_table.load_rows(tx, policy, chains).items()):
        attribute_chain(reader, chain, rows, since.get(chain), done, rule_of)
    return done


def _references(new: Mapping[str, Held]) -> Iterator[tuple[ChainKey, str, float]]:
    for name, held in new.items():
        data = held.event.data
        for key, value in data.references.items():
            yield ChainKey(data.tenant, key, value), name, held.received


def _since(
    reader: ChainReader, new: Mapping[str, Held], found: LinkedTurns
) -> dict[ChainKey, float]:
    """Return the chains that a poll's answers are in, and since when anything may be otherwise."""
    since = dict[ChainKey, float]()
    for name in {*new, *found.changed}:
        key = found.keys.get(name)
        turn = None if key is None else found.turns[key].get(name)
        if turn is None and name not in new:
            continue
        at = new[name].received if turn is None else turn.received
        for chain in reader.chains_of(name):
            since[chain] = min(at, since.get(chain, at))
    return since


def attribute_chain(
    reader: ChainReader,
    chain: ChainKey,
    rows: Sequence[ChainRow],
    since: float | None,
    done: Attributed,
    rule_of: RuleOf,
) -> None:
    """Work out what feedback on one chain reaches now, and write what changed.

    `since` is when the earliest answer was received that is new, or otherwise: what was said before it
    reaches what it did.
    """
    replaced = {row.replaces for row in rows if row.replaces != row.feedback_id}
    touched = [
        row
        for row in rows
        if (chain, row.feedback_id) in done.new
        or (since is not None and row.received >= since)
        or (row.feedback_id in replaced and row.reached)
    ]
    if not touched:
        return
    answers = reader.answers(chain)
    known = {one.generation_id for one in answers}
    changed = list[ChainRow]()
    for row in touched:
        said = decode_feedback(row.payload)
        now = reach_of(answers, row, said, rule_of)
        stage = REACHED if now or row.stage == REACHED else WAITING
        if row.feedback_id in replaced:
            now = {}
        now |= _of_forgotten(reader, row, known)
        if now == row.reached and stage == row.stage:
            continue
        changed.append(row._replace(stage=stage, reached=now))
        for name, before in row.reached.items():
            if now.get(name) != before:
                done.lost.append(Lost(name, named(row), chain.tenant))
        for name, attribution in now.items():
            if row.reached.get(name) != attribution:
                done.reaching.append(Reaching(said_of(name, row, said), attribution, row))
    chain_table.put_reached(reader.tx, reader.policy, changed)


def reach_of(
    answers: Sequence[ChainAnswer], row: ChainRow, said: Feedback, rule_of: RuleOf
) -> dict[str, Attribution]:
    """Return how feedback on a chain reaches its answers."""
    act = ChainAct(row.acted, row.received, row.user_hash, not row.chain.key)
    return reached(answers, act, rule_of(said.signal))


def said_of(name: str, row: ChainRow, said: Feedback) -> Feedback:
    """Return feedback on a chain as if it had named an answer."""
    return msgspec.structs.replace(
        said,
        feedback_id=named(row),
        generation_id=name,
        tenant=row.chain.tenant,
        replaces=None,
    )


def named(row: ChainRow) -> str:
    """Return the id that feedback on a chain has among the feedback of an answer."""
    return f"{row.chain}:{row.feedback_id}"


def _of_forgotten(reader: ChainReader, row: ChainRow, known: set[str]) -> dict[str, Attribution]:
    """Return how feedback reached answers that nobody knows any more: that stays as it was."""
    gone = sorted(row.reached.keys() - known)
    held = reader.held(gone) if gone else set()
    return {name: row.reached[name] for name in gone if name not in held}
