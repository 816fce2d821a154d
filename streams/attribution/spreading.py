"""Spreading: what was said of one answer reaches the chain up to it, where the reward spec says so.

What is said stands with the answer that it names, as all that names one. Beside it stand copies with
the answers before it, worked out anew from the tables whenever anything of the chain changes: so the order of
arrival does not matter, and what is refused, replaced or taken back leaves no copy.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from ..events.episode import Timed, order_feedback
from ..events.event import decode_feedback
from ..events.signals import kind_of
from ..sessions.turns_table import SessionKey
from ..state.bulk import by_ids, insert_rows
from ..state.transaction import Transaction
from .chain import ChainKey
from .chain_answers import ChainReader
from .spread_reach import PostedOnAnswer, SpreadOf, reaching

SPREAD = """
ALTER TABLE feedback ADD COLUMN spread_of TEXT;
CREATE INDEX feedback_spread ON feedback (policy, spread_of) WHERE spread_of IS NOT NULL
"""
"""The answer that feedback named which stands here as a copy."""

_ENCODE = msgspec.json.Encoder().encode
_COLUMNS = (
    "policy, generation_id, feedback_id, tenant, kind, acted, received, payload, topic, partition,"
    ' "offset", origin, attribution, spread_of'
)


class CopyKey(NamedTuple):
    """One copy."""

    generation_id: str
    """The answer that it stands with."""
    feedback_id: str
    """Its name there."""
    tenant: str
    """The answer's."""


class Spread(NamedTuple):
    """What changed."""

    changed: frozenset[str] = frozenset()
    """Answers that have other copies now."""
    reached: frozenset[str] = frozenset()
    """Those of them that have one more."""


UNSPREAD = Spread()
"""Nothing changed."""


def spread_sessions(reader: ChainReader, names: Iterable[str]) -> set[SessionKey]:
    """Return the sessions in which what these answers are part of, or what was said of them, may spread."""
    chains = {chain for name in names for chain in reader.chains_of(name) if not chain.key}
    return {SessionKey(chain.tenant, chain.value) for chain in chains}


def may_spread_to(reader: ChainReader, sessions: Iterable[SessionKey]) -> set[str]:
    """Return all answers that anything said in these sessions can reach."""
    return {
        one.generation_id
        for key in sessions
        for one in reader.answers(ChainKey(key.tenant, "", key.session_id))
    }


def spread(reader: ChainReader, sessions: Iterable[SessionKey], rule_of: SpreadOf) -> Spread:
    """Work out anew what was said of the answers of these sessions says of those before them, and write it."""
    tx, policy = reader.tx, reader.policy
    gone, fresh = list[CopyKey](), list[tuple[Any, ...]]()
    for key in sorted(sessions):
        names = sorted(reader.turns(key))
        before = _copies(tx, policy, names)
        now = wanted_copies(reader, key, rule_of)
        gone += [copy for copy, told in before.items() if copy not in now or told != now[copy][-2]]
        fresh += [
            (policy, *copy, *told) for copy, told in now.items() if before.get(copy) != told[-2]
        ]
    tx.executemany(
        "DELETE FROM feedback"
        " WHERE policy = ? AND generation_id = ? AND feedback_id = ? AND tenant = ?",
        [(policy, *copy) for copy in gone],
    )
    insert_rows(tx, f"INSERT INTO feedback ({_COLUMNS}) VALUES ", fresh)
    more = frozenset(row[1] for row in fresh)
    return Spread(more.union(copy.generation_id for copy in gone), more)


def forget_spread(tx: Transaction, policy: str, generation_id: str) -> None:
    """Forget the copies of what was said of an answer."""
    tx.execute("DELETE FROM feedback WHERE policy = ? AND spread_of = ?", (policy, generation_id))


def _said(
    tx: Transaction, policy: str, names: Sequence[str], rule_of: SpreadOf
) -> dict[str, list[PostedOnAnswer]]:
    """Return what was posted about each of these answers, counts and spreads."""
    found = defaultdict[str, dict[int, PostedOnAnswer]](dict)
    timed = defaultdict[str, list[Timed]](list)
    for marks, chunk in by_ids(names):
        rows = tx.execute(
            'SELECT generation_id, payload, acted, received, topic, partition, "offset" FROM feedback'
            f" WHERE policy = ? AND generation_id IN ({marks}) AND dead = 0 AND origin = ''"
            " AND attribution IS NULL",
            (policy, *chunk),
        )
        for name, payload, acted, received, *place in rows.fetchall():
            said = decode_feedback(payload)
            one = Timed(feedback=said, acted_at=acted, received_at=received)
            timed[name].append(one)
            found[name][id(one)] = PostedOnAnswer(
                said, acted, received, (place[0], place[1], place[2])
            )
    return {
        name: [
            found[name][id(one)]
            for one in order_feedback(each)
            if rule_of(one.feedback.signal) is not None
        ]
        for name, each in timed.items()
    }


def _copies(tx: Transaction, policy: str, names: Sequence[str]) -> dict[CopyKey, str]:
    """Return the copies of what was said of these answers, each with how it reaches its own."""
    found = dict[CopyKey, str]()
    for marks, chunk in by_ids(names):
        rows = tx.execute(
            "SELECT generation_id, feedback_id, tenant, attribution FROM feedback"
            f" WHERE policy = ? AND spread_of IN ({marks})",
            (policy, *chunk),
        )
        found.update((CopyKey(*key), attribution) for *key, attribution in rows.fetchall())
    return found


def wanted_copies(
    reader: ChainReader, key: SessionKey, rule_of: SpreadOf
) -> dict[CopyKey, tuple[Any, ...]]:
    """Return the copies that there should be in a session, each with the rest of its row."""
    found = dict[CopyKey, tuple[Any, ...]]()
    said = _said(reader.tx, reader.policy, sorted(reader.turns(key)), rule_of)
    if not any(said.values()):
        return found
    answers = reader.answers(ChainKey(key.tenant, "", key.session_id))
    for one in reaching(answers, said, rule_of):
        posted, name = one.said, one.said.feedback.generation_id
        copy = CopyKey(one.generation_id, posted.named(), key.tenant)
        data = msgspec.structs.replace(
            posted.feedback,
            feedback_id=copy.feedback_id,
            generation_id=copy.generation_id,
            tenant=key.tenant,
            replaces=None,
        )
        how = _ENCODE(msgspec.structs.replace(one.attribution, of=name)).decode()
        times = (posted.acted, posted.received)
        found[copy] = (kind_of(data.signal), *times, _ENCODE(data), *posted.place, "", how, name)
    return found
