"""Experiments: the table of what is tried on people besides versions; one at a time goes on."""

import msgspec

from ...streams.state.transaction import Transaction
from ..stages.experiment import Experiment, ExperimentKind

EXPERIMENTS = """
CREATE TABLE experiments (
    policy TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, ended INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (policy, name))
"""


def running(tx: Transaction, policy: str) -> Experiment | None:
    """Return the experiment that has not ended."""
    row = tx.execute(
        "SELECT record FROM experiments WHERE policy = ? AND ended = 0", (policy,)
    ).fetchone()
    return None if row is None else _decode(row[0])


def aa_under_way(tx: Transaction, policy: str) -> Experiment | None:
    """Return the A/A that goes on: versions wait for its end."""
    found = running(tx, policy)
    return found if found is not None and found.kind is ExperimentKind.AA else None


def find(tx: Transaction, policy: str, name: str) -> Experiment | None:
    """Return an experiment by name."""
    row = tx.execute(
        "SELECT record FROM experiments WHERE policy = ? AND name = ?", (policy, name)
    ).fetchone()
    return None if row is None else _decode(row[0])


def history(tx: Transaction, policy: str, limit: int = 1000) -> list[Experiment]:
    """Return the last experiments, oldest first."""
    rows = tx.execute(
        "SELECT record FROM experiments WHERE policy = ? ORDER BY number DESC LIMIT ?",
        (policy, limit),
    ).fetchall()
    return [_decode(row[0]) for row in reversed(rows)]


def save(tx: Transaction, policy: str, experiment: Experiment) -> None:
    """Write an experiment down, a new one as the last."""
    row = tx.execute(
        "SELECT COALESCE(MAX(number), 0) FROM experiments WHERE policy = ?", (policy,)
    ).fetchone()
    tx.execute(
        "INSERT INTO experiments VALUES (?, ?, ?, ?, ?) ON CONFLICT (policy, name)"
        " DO UPDATE SET ended = excluded.ended, record = excluded.record",
        (
            *(policy, experiment.name, row[0] + 1, int(experiment.ended)),
            msgspec.json.encode(experiment).decode(),
        ),
    )


def _decode(record: str) -> Experiment:
    return msgspec.json.decode(record, type=Experiment)
