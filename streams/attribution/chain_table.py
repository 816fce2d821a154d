"""Chain table: feedback that names a session or a reference, and what it reaches.

What it reaches is written among the feedback of each answer, with how (`attribution`), so that all who
read an answer's feedback find it there. The record is counted here, once.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ..events.episode import Attribution
from ..log.ports import Partition
from ..state.bulk import by_ids, insert_rows
from ..state.transaction import Transaction, hold_key, row_lock
from .chain import ChainKey

CHAINS = """
CREATE TABLE chain_feedback (
    policy TEXT NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    feedback_id TEXT NOT NULL, user_hash TEXT NOT NULL, kind TEXT NOT NULL, replaces TEXT,
    acted REAL NOT NULL, received REAL NOT NULL, due REAL NOT NULL, payload BLOB NOT NULL,
    topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
    stage TEXT NOT NULL, reached BLOB NOT NULL,
    PRIMARY KEY (policy, tenant, key, value, feedback_id));
CREATE INDEX chain_feedback_due ON chain_feedback (policy, due) WHERE stage = 'waiting';
CREATE INDEX chain_feedback_place ON chain_feedback (policy, topic, partition, "offset");
CREATE INDEX episodes_started ON episodes (policy, parent_id) WHERE link IN ('subagent', 'summary');
ALTER TABLE feedback ADD COLUMN attribution TEXT
"""
"""`key` is empty for a session, whose name `value` is. `reached` has by answer how, JSON."""

WAITING, REACHED, DEAD, FORGOTTEN = "waiting", "reached", "dead", "forgotten"
"""Stages: no answer yet; attributed; dead-lettered; its content is not held any more."""
LIVE = f"stage IN ('{WAITING}', '{REACHED}')"

ATTRIBUTING = 0x726C7763
"""Key of the lock between feedback on chains and answers that come: `rlwc`."""

_FORGET = (
    f"payload = ?, reached = ?, user_hash = '', stage ="
    f" CASE stage WHEN '{DEAD}' THEN '{DEAD}' ELSE '{FORGOTTEN}' END"
)
_NOTHING = (b"{}", b"{}")
_REACHED = msgspec.json.Decoder(dict[str, Attribution])
_COLUMNS = (
    "tenant, key, value, feedback_id, user_hash, kind, replaces, acted, received, due, payload, topic,"
    ' partition, "offset", stage, reached'
)


class ChainRow(NamedTuple):
    """One feedback on a chain."""

    chain: ChainKey
    """The chain."""
    feedback_id: str
    """Its own id."""
    user_hash: str
    """To whom the answers were given; empty where it does not say."""
    kind: str
    """Kind of its signal."""
    replaces: str | None
    """An earlier one on the same chain that it takes the place of."""
    acted: float
    """When the person acted."""
    received: float
    """When it was received; epoch seconds, as all times here."""
    due: float
    """Until when it waits for an answer, by receive times."""
    payload: bytes
    """The feedback."""
    partition: Partition
    """Where its record stood."""
    offset: int
    """Its position there."""
    stage: str = WAITING
    """One of the stages above."""
    reached: Mapping[str, Attribution] = {}
    """How it reaches which answers."""


def hold_chains(tx: Transaction, *, told: bool) -> None:
    """Let no answer come unseen while feedback on a chain is taken in (`told`), nor the other way."""
    hold_key(tx, ATTRIBUTING, alone=told)


def any_chain_feedback(tx: Transaction, policy: str) -> bool:
    """Return whether there is any feedback on a chain."""
    return bool(
        tx.execute("SELECT 1 FROM chain_feedback WHERE policy = ? LIMIT 1", (policy,)).fetchone()
    )


def put_rows(tx: Transaction, policy: str, rows: Sequence[ChainRow]) -> set[tuple[ChainKey, str]]:
    """Write feedback on chains; return which of it is new."""
    found = insert_rows(
        tx,
        f"INSERT INTO chain_feedback (policy, {_COLUMNS}) VALUES ",
        [_values(policy, row) for row in rows],
        " ON CONFLICT DO NOTHING RETURNING tenant, key, value, feedback_id",
    )
    return {(ChainKey(*chain), feedback_id) for *chain, feedback_id in found}


def load_rows(
    tx: Transaction, policy: str, chains: Iterable[ChainKey], *, hold: bool = True
) -> dict[ChainKey, list[ChainRow]]:
    """Return the live feedback on these chains; with `hold` no other transaction gets it meanwhile."""
    found = defaultdict[ChainKey, list[ChainRow]](list)
    values = defaultdict[tuple[str, str], list[str]](list)
    for chain in sorted(chains):
        values[chain.tenant, chain.key].append(chain.value)
    for (tenant, key), named in values.items():
        for marks, chunk in by_ids(named):
            rows = tx.execute(
                f"SELECT {_COLUMNS} FROM chain_feedback"
                f" WHERE policy = ? AND tenant = ? AND key = ? AND value IN ({marks}) AND {LIVE}"
                " ORDER BY value, feedback_id" + (row_lock(tx) if hold else ""),
                (policy, tenant, key, *chunk),
            )
            for row in map(_row, rows.fetchall()):
                found[row.chain].append(row)
    return found


def put_reached(tx: Transaction, policy: str, rows: Iterable[ChainRow]) -> None:
    """Write what feedback reaches by now, and its stage."""
    tx.executemany(
        "UPDATE chain_feedback SET stage = ?, reached = ?"
        " WHERE policy = ? AND tenant = ? AND key = ? AND value = ? AND feedback_id = ?",
        [
            (row.stage, msgspec.json.encode(row.reached), policy, *row.chain, row.feedback_id)
            for row in rows
        ],
    )


def put_dead(tx: Transaction, policy: str, rows: Iterable[ChainRow]) -> None:
    """Write that feedback is dead-lettered: it reaches nothing, and what it says is there alone."""
    tx.executemany(
        f"UPDATE chain_feedback SET stage = '{DEAD}', payload = ?, reached = ?"
        " WHERE policy = ? AND tenant = ? AND key = ? AND value = ? AND feedback_id = ?",
        [(*_NOTHING, policy, *row.chain, row.feedback_id) for row in rows],
    )


def beyond_cap(
    tx: Transaction, policy: str, chains: Iterable[ChainKey], cap: int
) -> list[ChainRow]:
    """Return the feedback by which these chains have more of one kind than counts, the latest in the log."""
    found = list[ChainRow]()
    for chain in sorted(set(chains)):
        rows = tx.execute(
            f"SELECT {_COLUMNS} FROM chain_feedback"
            f" WHERE policy = ? AND tenant = ? AND key = ? AND value = ? AND stage <> '{DEAD}'"
            ' ORDER BY topic, partition, "offset"',
            (policy, *chain),
        ).fetchall()
        by_kind = defaultdict[str, list[ChainRow]](list)
        for row in map(_row, rows):
            by_kind[row.kind].append(row)
        found += [row for each in by_kind.values() for row in each[cap:]]
    return found


def unreached(tx: Transaction, policy: str, mark: float, limit: int) -> list[ChainRow]:
    """Return feedback that waited for an answer until before `mark`, and keep it from others."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM chain_feedback"
        f" WHERE policy = ? AND stage = '{WAITING}' AND due < ? ORDER BY due LIMIT ?"
        + row_lock(tx, skip=True),
        (policy, mark, limit),
    )
    return [_row(row) for row in rows.fetchall()]


def forget_people(tx: Transaction, policy: str, names: Iterable[str]) -> list[tuple[str, int, int]]:
    """Forget feedback on chains that is about the answers to these people; return where it stood."""
    found = list[ChainRow]()
    for marks, chunk in by_ids(sorted(names)):
        rows = tx.execute(
            f"SELECT {_COLUMNS} FROM chain_feedback WHERE policy = ? AND user_hash IN ({marks})",
            (policy, *chunk),
        )
        found += map(_row, rows.fetchall())
    return _forget(tx, policy, found)


def forget_about(
    tx: Transaction, policy: str, chains: Iterable[ChainKey], answers: Container[str]
) -> list[tuple[str, int, int]]:
    """Forget feedback on these chains that names nobody and reaches none but these answers.

    What was replaced, or refused, reaches none, and says all the same what it said. Returns where it
    stood.
    """
    found = list[ChainRow]()
    for chain in sorted(set(chains)):
        rows = tx.execute(
            f"SELECT {_COLUMNS} FROM chain_feedback WHERE policy = ? AND user_hash = ''"
            " AND tenant = ? AND key = ? AND value = ?",
            (policy, *chain),
        )
        found += [
            row for row in map(_row, rows.fetchall()) if all(map(answers.__contains__, row.reached))
        ]
    return _forget(tx, policy, found)


def _forget(tx: Transaction, policy: str, rows: Sequence[ChainRow]) -> list[tuple[str, int, int]]:
    places = [(row.partition.topic, row.partition.index, row.offset) for row in rows]
    forget_places(tx, policy, places)
    return places


def forget_places(tx: Transaction, policy: str, places: Iterable[tuple[str, int, int]]) -> None:
    """Forget the feedback on chains that stood at these topics, partitions and offsets."""
    tx.executemany(
        "UPDATE chain_feedback SET "
        + _FORGET
        + ' WHERE policy = ? AND topic = ? AND partition = ? AND "offset" = ?',
        [(*_NOTHING, policy, *place) for place in places],
    )


def forget_old(tx: Transaction, policy: str, before: float) -> None:
    """Forget feedback on chains that was received before then."""
    tx.execute(
        f"UPDATE chain_feedback SET {_FORGET} WHERE policy = ? AND received < ? AND {LIVE}",
        (*_NOTHING, policy, before),
    )


def _values(policy: str, row: ChainRow) -> tuple[Any, ...]:
    place = (row.partition.topic, row.partition.index, row.offset)
    told = row[1:9]
    return (policy, *row.chain, *told, *place, row.stage, msgspec.json.encode(row.reached))


def _row(row: Sequence[Any]) -> ChainRow:
    tenant, key, value, *told, payload, topic, index, offset, stage, held = row
    chain, at = ChainKey(tenant, key, value), Partition(topic=topic, index=index)
    known = zip(ChainRow._fields[1:8], told, strict=True)
    return ChainRow(
        chain=chain,
        payload=bytes(payload),
        partition=at,
        offset=offset,
        stage=stage,
        reached=_REACHED.decode(bytes(held)),
        **dict(known),
    )
