"""Referenced: which answers are about which reference, as their requests said."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from ..state.bulk import by_ids, insert_rows
from ..state.transaction import Transaction
from .chain import ChainKey

REFERENCED = """
CREATE TABLE referenced (
    policy TEXT NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    generation_id TEXT NOT NULL, received REAL NOT NULL,
    PRIMARY KEY (policy, tenant, key, value, generation_id)) /* WITHOUT ROWID */;
CREATE INDEX referenced_generation ON referenced (policy, generation_id)
"""


def put_references(
    tx: Transaction, policy: str, rows: Iterable[tuple[ChainKey, str, float]]
) -> None:
    """Write which answers, received when, are about which references."""
    insert_rows(
        tx,
        "INSERT INTO referenced (policy, tenant, key, value, generation_id, received) VALUES ",
        [(policy, *chain, name, received) for chain, name, received in rows],
        " ON CONFLICT DO NOTHING",
    )


def load_referenced(tx: Transaction, policy: str, chain: ChainKey) -> dict[str, float]:
    """Return the answers about a reference, with when they were received."""
    rows = tx.execute(
        "SELECT generation_id, received FROM referenced"
        " WHERE policy = ? AND tenant = ? AND key = ? AND value = ?",
        (policy, *chain),
    )
    return dict(rows.fetchall())


def references_of(tx: Transaction, policy: str, ids: Sequence[str]) -> dict[str, list[ChainKey]]:
    """Return the references that these answers are about."""
    found = defaultdict[str, list[ChainKey]](list)
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT generation_id, tenant, key, value FROM referenced"
            f" WHERE policy = ? AND generation_id IN ({marks})",
            (policy, *chunk),
        )
        for name, *chain in rows.fetchall():
            found[name].append(ChainKey(*chain))
    return found


def forget_references(tx: Transaction, policy: str, ids: Sequence[str]) -> None:
    """Forget what these answers were about."""
    for marks, chunk in by_ids(ids):
        tx.execute(
            f"DELETE FROM referenced WHERE policy = ? AND generation_id IN ({marks})",
            (policy, *chunk),
        )
