"""Benchmark people: whose requests a benchmark holds, and of whom nothing is learned while it does."""

from collections.abc import Iterable

from ..streams.events.stage import EpisodeStage
from ..streams.join import episodes_table, fate
from ..streams.state.transaction import Transaction, row_lock

BENCHMARK_PEOPLE = """
CREATE TABLE benchmark_people (
    policy TEXT NOT NULL, benchmark TEXT NOT NULL, number INTEGER NOT NULL, user_hash TEXT NOT NULL,
    PRIMARY KEY (policy, benchmark, number, user_hash))
"""
"""`number` is the benchmark's version; its people are free again once no version holds them."""


def put_people(
    tx: Transaction, policy: str, benchmark: str, number: int, people: Iterable[str]
) -> None:
    """Keep these people, by hash, out of training from now on."""
    tx.executemany(
        "INSERT INTO benchmark_people VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(policy, benchmark, number, user) for user in sorted(set(people))],
    )


def has_people(view: Transaction, policy: str, benchmark: str, number: int) -> bool:
    """Return whether anybody is kept out of training for a version."""
    row = view.execute(
        "SELECT COUNT(*) FROM benchmark_people WHERE policy = ? AND benchmark = ? AND number = ?",
        (policy, benchmark, number),
    ).fetchone()
    return bool(row[0])


def forget_people(tx: Transaction, policy: str, benchmark: str, number: int) -> None:
    """Let the people of a version go, that is no more."""
    tx.execute(
        "DELETE FROM benchmark_people WHERE policy = ? AND benchmark = ? AND number = ?",
        (policy, benchmark, number),
    )


def forget_person(tx: Transaction, policy: str, user_hash: str) -> None:
    """Forget the hash of a person who was erased."""
    tx.execute(
        "DELETE FROM benchmark_people WHERE policy = ? AND user_hash = ?", (policy, user_hash)
    )


def versions_with_people(view: Transaction, policy: str) -> set[tuple[str, int]]:
    """Return the name and number of each version that people are kept out of training for."""
    rows = view.execute(
        "SELECT DISTINCT benchmark, number FROM benchmark_people WHERE policy = ?", (policy,)
    ).fetchall()
    return {(name, number) for name, number in rows}


def close_theirs(tx: Transaction, policy: str) -> None:
    """Give what was ready of these people its fate: it teaches nothing.

    So does what others were answered in a session with them: its prompt, or what was written next, is theirs.
    """
    if not versions_with_people(tx, policy):
        return
    rows = tx.execute(
        f"SELECT generation_id FROM episodes e WHERE policy = ? AND stage = '{EpisodeStage.READY}'"
        " AND (user_hash IN (SELECT user_hash FROM benchmark_people WHERE policy = ?)"
        " OR EXISTS (SELECT 1 FROM turns t JOIN episodes o ON o.policy = t.policy"
        " AND o.generation_id = t.generation_id JOIN benchmark_people p ON p.policy = o.policy"
        " AND p.user_hash = o.user_hash WHERE t.policy = e.policy"
        " AND t.tenant = COALESCE(e.tenant, '') AND t.session_id = e.session_id))"
        " ORDER BY generation_id" + row_lock(tx),
        (policy, policy),
    ).fetchall()
    episodes_table.close(tx, policy, [name for (name,) in rows], fate.BENCHMARK)
