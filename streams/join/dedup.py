"""De-duplication: the keys of all known events, for as long as a topic can be read again.

A key is a digest and lies anywhere among millions, so a poll's keys lie on as many pages of the
index. Where one transaction writes at a time, new keys are therefore appended to a table of their
own and held in memory; some hundred thousand together are then moved into the index, many to a
page. On a server, where other processes write meanwhile, the index alone decides (CONTRACTS 1, 13).
"""

import hashlib
from collections.abc import Sequence

from ..state.bulk import by_ids, insert_rows
from ..state.transaction import Transaction, is_shared

NEW_KEYS = """
CREATE TABLE known_keys (
    policy TEXT NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (policy, digest)) /* WITHOUT ROWID */;
INSERT INTO known_keys SELECT policy, digest FROM event_keys ORDER BY policy, digest;
DROP TABLE event_keys;
ALTER TABLE known_keys RENAME TO event_keys;
CREATE TABLE new_keys (
    id BIGSERIAL PRIMARY KEY /* AUTOINCREMENT */, policy TEXT NOT NULL, digest BLOB NOT NULL)
"""
"""A key is known if it is in either table. No id of `new_keys` is ever given twice."""

MOVED_AT_ONCE = 250_000
"""New keys that are moved together: 25 MB in memory, and a second to move them among ten million."""


def key_of(source: str, name: str) -> bytes:
    """Return the key of an event: the digest of its source and id (CONTRACTS 1)."""
    return hashlib.blake2b(f"{source}\0{name}".encode(), digest_size=16).digest()


class EventKeys:
    """The keys of one policy's events.

    Only committed keys are held in memory: call `committed` after the transaction of an `add`. If it
    is not called, the keys are read from the table again.
    """

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self._in_memory: set[bytes] = set()
        self._last_id = 0
        self._pending: tuple[bool, set[bytes], int] | None = None

    def load(self, tx: Transaction) -> None:
        """Read the new keys into memory, in a transaction that has added none."""
        if not is_shared(tx):
            others, self._last_id = self._added_by_others(tx)
            self._in_memory |= others

    def add(self, tx: Transaction, keys: Sequence[bytes]) -> set[bytes]:
        """Add these keys, each given once; return those that were not known."""
        # Sorted, because neighbours share a page.
        ordered = sorted(keys)
        if is_shared(tx):
            return self._insert(tx, ordered)
        others, read = self._added_by_others(tx)
        new = [key for key in ordered if key not in self._in_memory and key not in others]
        indexed = self._indexed(tx, new)
        new = [key for key in new if key not in indexed]
        insert_rows(
            tx,
            "INSERT INTO new_keys (policy, digest) VALUES ",
            [(self.policy, key) for key in new],
        )
        read = self._newest_id(tx) if new else read
        full = len(self._in_memory) + len(others) + len(new) >= MOVED_AT_ONCE
        if full:
            self._move_to_index(tx)
        self._pending = (full, others.union(new), read)
        return set(new)

    def known(self, tx: Transaction, key: bytes) -> bool:
        """Return whether a key was added before; this adds nothing."""
        return key in self._in_memory or any(
            tx.execute(
                f"SELECT 1 FROM {table} WHERE policy = ? AND digest = ?", (self.policy, key)
            ).fetchone()
            for table in ("event_keys", "new_keys")
        )

    def committed(self) -> None:
        """Hold the keys of the last `add` in memory; its transaction has committed."""
        if self._pending is not None:
            moved, new, self._last_id = self._pending
            self._in_memory |= new
            if moved:
                self._in_memory.clear()
            self._pending = None

    def _insert(self, tx: Transaction, keys: Sequence[bytes]) -> set[bytes]:
        rows = insert_rows(
            tx,
            "INSERT INTO event_keys (policy, digest) VALUES ",
            [(self.policy, key) for key in keys],
            " ON CONFLICT DO NOTHING RETURNING digest",
        )
        return {bytes(key) for (key,) in rows}

    def _added_by_others(self, tx: Transaction) -> tuple[set[bytes], int]:
        """Return the new keys that another process added since this one last read."""
        rows = tx.execute(
            "SELECT id, digest FROM new_keys WHERE id > ? AND policy = ? ORDER BY id",
            (self._last_id, self.policy),
        ).fetchall()
        return {digest for _, digest in rows}, rows[-1][0] if rows else self._last_id

    def _indexed(self, tx: Transaction, keys: Sequence[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        for marks, chunk in by_ids(keys):
            rows = tx.execute(
                f"SELECT digest FROM event_keys WHERE policy = ? AND digest IN ({marks})",
                (self.policy, *chunk),
            )
            found.update([digest for (digest,) in rows.fetchall()])
        return found

    def _newest_id(self, tx: Transaction) -> int:
        return int(tx.execute("SELECT MAX(id) FROM new_keys").fetchone()[0])

    def _move_to_index(self, tx: Transaction) -> None:
        tx.execute(
            "INSERT INTO event_keys (policy, digest) SELECT policy, digest FROM new_keys"
            " WHERE policy = ? ORDER BY digest ON CONFLICT DO NOTHING",
            (self.policy,),
        )
        tx.execute("DELETE FROM new_keys WHERE policy = ?", (self.policy,))
