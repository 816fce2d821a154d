"""Candidates: the schema of all release tables, and the functions on versions and quarantine.

The functions on the other tables are in `champions_table`, `rollouts_table` (with the learner's
returns) and, under `ops/flags`, `intents_table`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ...learner.candidate import Candidate
from ...streams.state.transaction import Transaction
from ..drift import alarms_table
from ..flags.gateways_table import GATEWAYS
from ..tool_errors.calls_table import TOOL_CALLS
from ..triage.triage_tables import TRIAGE
from . import experiments_table, holdout_table

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE candidates (
        policy TEXT NOT NULL,
        version TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        digest TEXT NOT NULL,
        record TEXT NOT NULL,
        outcome TEXT NOT NULL,
        reason TEXT NOT NULL,
        registered_at REAL NOT NULL,
        PRIMARY KEY (policy, version)
    );
    CREATE TABLE quarantined (
        policy TEXT NOT NULL,
        digest TEXT NOT NULL,
        version TEXT NOT NULL,
        reason TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (policy, digest)
    );
    CREATE TABLE rollouts (
        policy TEXT NOT NULL,
        version TEXT NOT NULL,
        number INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (policy, version)
    );
    CREATE TABLE reigns (
        policy TEXT NOT NULL,
        number INTEGER NOT NULL,
        version TEXT NOT NULL,
        since REAL NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (policy, number)
    );
    CREATE TABLE flag_intents (
        policy TEXT NOT NULL,
        generation INTEGER NOT NULL,
        record TEXT NOT NULL,
        intended_at REAL NOT NULL,
        confirmed_at REAL,
        PRIMARY KEY (policy, generation)
    );
    CREATE TABLE learner_returns (
        policy TEXT NOT NULL,
        refused_version TEXT NOT NULL,
        refused_sequence INTEGER NOT NULL,
        to_sequence INTEGER NOT NULL,
        reason TEXT NOT NULL,
        asked_at REAL NOT NULL,
        done_at REAL,
        PRIMARY KEY (policy, refused_version)
    )
    """,
    "ALTER TABLE candidates ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE reigns RENAME TO champions",
    """
    CREATE TABLE holds (
        policy TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (policy))
    """,
    """
    CREATE TABLE rollout_looks (
        policy TEXT NOT NULL,
        version TEXT NOT NULL,
        at REAL NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (policy, version, at)
    );
    CREATE TABLE rollout_parts (
        policy TEXT NOT NULL,
        version TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (policy, version)
    )
    """,
    GATEWAYS,
    holdout_table.HOLDOUT,
    experiments_table.EXPERIMENTS,
    TOOL_CALLS,
    alarms_table.DRIFT,
    TRIAGE,
)

WAITING = ""
"""Outcome of a candidate that has met neither gate nor people."""


def add(tx: Transaction, policy: str, candidate: Candidate, now: float) -> bool:
    """Add a version; return False where it is known already.

    Raises ValueError where the version is known with another digest.
    """
    row = tx.execute(
        "SELECT digest FROM candidates WHERE policy = ? AND version = ?",
        (policy, candidate.version),
    ).fetchone()
    if row is not None:
        if row[0] != candidate.digest:
            raise ValueError(
                f"{candidate.version}: offered with digest {candidate.digest}, known with {row[0]}"
            )
        return False
    record = msgspec.json.encode(candidate, enc_hook=str).decode()
    tx.execute(
        "INSERT INTO candidates (policy, version, sequence, digest, record, outcome, reason,"
        " registered_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(policy, candidate.version, candidate.sequence, candidate.digest),
            *(record, WAITING, "", now),
        ),
    )
    return True


def find(tx: Transaction, policy: str, version: str) -> Candidate:
    """Return a version; it must have been added."""
    row = tx.execute(
        "SELECT record FROM candidates WHERE policy = ? AND version = ?", (policy, version)
    ).fetchone()
    assert row is not None, f"{version} was never registered"
    return _decode(row[0])


def find_anchor(tx: Transaction, policy: str) -> Candidate | None:
    """Return v0, the frozen version; None before it was added."""
    row = tx.execute(
        "SELECT record FROM candidates WHERE policy = ? AND sequence = 0", (policy,)
    ).fetchone()
    return None if row is None else _decode(row[0])


def anchor(tx: Transaction, policy: str) -> Candidate:
    """Return v0, the frozen version, which must be registered."""
    found = find_anchor(tx, policy)
    assert found is not None, f"{policy}: v0 was never registered"
    return found


def newest(tx: Transaction, policy: str) -> Candidate:
    """Return the version that was made last; v0 must be registered."""
    row = tx.execute(
        "SELECT record FROM candidates WHERE policy = ? ORDER BY sequence DESC LIMIT 1", (policy,)
    ).fetchone()
    assert row is not None, f"{policy}: v0 was never registered"
    return _decode(row[0])


def newest_first(tx: Transaction, policy: str, limit: int) -> Iterator[Candidate]:
    """Yield the versions that were made last, whatever became of them."""
    rows = tx.execute(
        "SELECT record FROM candidates WHERE policy = ? ORDER BY sequence DESC LIMIT ?",
        (policy, limit),
    ).fetchall()
    yield from (_decode(row[0]) for row in rows)


def waiting(tx: Transaction, policy: str) -> list[Candidate]:
    """Return the versions without an outcome, oldest first."""
    rows = tx.execute(
        "SELECT record FROM candidates WHERE policy = ? AND outcome = ? ORDER BY sequence",
        (policy, WAITING),
    ).fetchall()
    return [_decode(row[0]) for row in rows]


def outcome(tx: Transaction, policy: str, version: str) -> tuple[str, str]:
    """Return a version's outcome so far and its reason."""
    row = tx.execute(
        "SELECT outcome, reason FROM candidates WHERE policy = ? AND version = ?",
        (policy, version),
    ).fetchone()
    assert row is not None, f"{version} was never registered"
    return row[0], row[1]


def mark_pruned(tx: Transaction, policy: str, sequences: Iterable[int]) -> None:
    """Write down that the weights of these checkpoints are deleted: no rollback may choose them."""
    tx.executemany(
        "UPDATE candidates SET pruned = 1 WHERE policy = ? AND sequence = ?",
        [(policy, sequence) for sequence in sequences],
    )


def move_to(tx: Transaction, policy: str, sequence: int, folder: Path) -> None:
    """Write down that the versions of a checkpoint lie in another folder now; after a restore."""
    rows = tx.execute(
        "SELECT version, record FROM candidates WHERE policy = ? AND sequence = ?",
        (policy, sequence),
    ).fetchall()
    for version, record in rows:
        found = _decode(record)
        moved = msgspec.structs.replace(found, path=folder / found.path.name)
        tx.execute(
            "UPDATE candidates SET record = ? WHERE policy = ? AND version = ?",
            (msgspec.json.encode(moved, enc_hook=str).decode(), policy, version),
        )


def pruned(tx: Transaction, policy: str) -> set[str]:
    """Return the versions whose weights were deleted."""
    rows = tx.execute(
        "SELECT version FROM candidates WHERE policy = ? AND pruned = 1", (policy,)
    ).fetchall()
    return {row[0] for row in rows}


def close(tx: Transaction, policy: str, version: str, outcome: str, reason: str) -> None:
    """Write down what became of a version."""
    tx.execute(
        "UPDATE candidates SET outcome = ?, reason = ? WHERE policy = ? AND version = ?",
        (str(outcome), reason, policy, version),
    )


def quarantine(tx: Transaction, policy: str, candidate: Candidate, reason: str, now: float) -> None:
    """Make sure that these bits are never offered again, under whatever name."""
    tx.execute(
        "INSERT INTO quarantined VALUES (?, ?, ?, ?, ?) ON CONFLICT (policy, digest) DO NOTHING",
        (policy, candidate.digest, candidate.version, reason, now),
    )


def quarantined(tx: Transaction, policy: str) -> dict[str, str]:
    """Return digest to reason of all that must not be offered, nor trained from."""
    rows = tx.execute(
        "SELECT digest, version, reason FROM quarantined WHERE policy = ?", (policy,)
    ).fetchall()
    return {digest: f"{version}: {reason}" for digest, version, reason in rows}


def _decode(record: str) -> Candidate:
    return msgspec.json.decode(record, type=Candidate, dec_hook=_path)


def _path(kind: type, value: Any) -> Any:
    assert kind is Path, kind
    return Path(value)
