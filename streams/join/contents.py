"""Contents: a generation's record, apart from the row that says what became of it.

A row of `episodes` is written again whenever its episode changes; the record, many times as long,
is written once, in the order of arrival, and forgotten by retention.
"""

from collections.abc import Iterable, Sequence

from ..state.bulk import by_ids, insert_rows
from ..state.transaction import Transaction

CONTENTS = """
CREATE TABLE contents (
    id BIGSERIAL PRIMARY KEY, policy TEXT NOT NULL, generation_id TEXT NOT NULL,
    payload BLOB NOT NULL);
INSERT INTO contents (policy, generation_id, payload)
    SELECT policy, generation_id, payload FROM episodes WHERE payload IS NOT NULL
    ORDER BY received;
CREATE INDEX contents_moved ON contents (policy, generation_id);
ALTER TABLE episodes ADD COLUMN content INTEGER;
UPDATE episodes SET content = (SELECT c.id FROM contents c
    WHERE c.policy = episodes.policy AND c.generation_id = episodes.generation_id)
    WHERE payload IS NOT NULL;
DROP INDEX contents_moved;
ALTER TABLE episodes DROP COLUMN payload
"""
"""`episodes.content` is the id of its record here, NULL where none is held."""


def put_contents(
    tx: Transaction, policy: str, payloads: Iterable[tuple[str, bytes]]
) -> dict[str, int]:
    """Keep the records of these generations; return each one's id here."""
    rows = [(policy, name, payload) for name, payload in payloads]
    return dict(
        insert_rows(
            tx,
            "INSERT INTO contents (policy, generation_id, payload) VALUES ",
            rows,
            " RETURNING generation_id, id",
        )
    )


def load_contents(
    tx: Transaction, policy: str, ids: Sequence[str]
) -> dict[str, tuple[bytes, float]]:
    """Return record and receive time of these generations, of those whose content is held."""
    found: dict[str, tuple[bytes, float]] = {}
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT e.generation_id, c.payload, e.received FROM episodes e"
            " JOIN contents c ON c.id = e.content"
            f" WHERE e.policy = ? AND e.generation_id IN ({marks})",
            (policy, *chunk),
        )
        found.update((name, (payload, received)) for name, payload, received in rows.fetchall())
    return found


def forget_contents(tx: Transaction, policy: str, ids: Sequence[str]) -> None:
    """Forget the records of these generations; their rows stay."""
    for marks, chunk in by_ids(ids):
        where = f" WHERE policy = ? AND generation_id IN ({marks})"
        tx.execute(
            "DELETE FROM contents WHERE id IN (SELECT content FROM episodes"
            + where
            + " AND content IS NOT NULL)",
            (policy, *chunk),
        )
        tx.execute("UPDATE episodes SET content = NULL" + where, (policy, *chunk))
