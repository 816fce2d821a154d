"""Keys: which events are known, for as long as a topic can be read again (CONTRACTS 1, 13).

A key is a digest and lies anywhere among millions, so a poll's keys lie on as many pages. Where
one transaction writes at a time, new keys are therefore first written one after the other, and known
by heart; some hundred thousand together are then moved among the others, many to a page. On a
server, where others write meanwhile, an index alone says at once who was first.
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
"""Known is what is in either table. No number of `new_keys` is ever given twice."""

MOVED_AT_ONCE = 250_000
"""New keys that are moved together: 25 MB known by heart, and a second among ten million others."""


def key_of(source: str, name: str) -> bytes:
    """Return what de-duplication knows an event by (CONTRACTS 1)."""
    return hashlib.blake2b(f"{source}\0{name}".encode(), digest_size=16).digest()


class EventKeys:
    """The keys of one policy's events.

    What is known by heart is only what was committed: `committed` says that the transaction of the
    last `add` was. Where nobody says so, it is read from the table again.
    """

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self._recent: set[bytes] = set()
        self._read = 0
        self._pending: tuple[bool, set[bytes], int] | None = None

    def load(self, tx: Transaction) -> None:
        """Learn by heart what there is, in a transaction that has added nothing."""
        if not is_shared(tx):
            others, self._read = self._by_others(tx)
            self._recent |= others

    def add(self, tx: Transaction, keys: Sequence[bytes]) -> set[bytes]:
        """Remember these keys, each named once; return those that were not known."""
        # Sorted, since neighbours share a page.
        ordered = sorted(keys)
        if is_shared(tx):
            return self._insert(tx, ordered)
        others, read = self._by_others(tx)
        new = [key for key in ordered if key not in self._recent and key not in others]
        moved = self._moved(tx, new)
        new = [key for key in new if key not in moved]
        insert_rows(
            tx,
            "INSERT INTO new_keys (policy, digest) VALUES ",
            [(self.policy, key) for key in new],
        )
        read = self._last(tx) if new else read
        full = len(self._recent) + len(others) + len(new) >= MOVED_AT_ONCE
        if full:
            self._move(tx)
        self._pending = (full, others.union(new), read)
        return set(new)

    def known(self, tx: Transaction, key: bytes) -> bool:
        """Return whether a key was added before; this adds nothing."""
        return key in self._recent or any(
            tx.execute(
                f"SELECT 1 FROM {table} WHERE policy = ? AND digest = ?", (self.policy, key)
            ).fetchone()
            for table in ("event_keys", "new_keys")
        )

    def committed(self) -> None:
        """Know by heart what the last `add` brought."""
        if self._pending is not None:
            moved, new, self._read = self._pending
            self._recent |= new
            if moved:
                self._recent.clear()
            self._pending = None

    def _insert(self, tx: Transaction, keys: Sequence[bytes]) -> set[bytes]:
        rows = insert_rows(
            tx,
            "INSERT INTO event_keys (policy, digest) VALUES ",
            [(self.policy, key) for key in keys],
            " ON CONFLICT DO NOTHING RETURNING digest",
        )
        return {bytes(key) for (key,) in rows}

    def _by_others(self, tx: Transaction) -> tuple[set[bytes], int]:
        """Return new keys that this has not read yet, of another process or of one before it."""
        rows = tx.execute(
            "SELECT id, digest FROM new_keys WHERE id > ? AND policy = ? ORDER BY id",
            (self._read, self.policy),
        ).fetchall()
        return {digest for _, digest in rows}, rows[-1][0] if rows else self._read

    def _moved(self, tx: Transaction, keys: Sequence[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        for marks, chunk in by_ids(keys):
            rows = tx.execute(
                f"SELECT digest FROM event_keys WHERE policy = ? AND digest IN ({marks})",
                (self.policy, *chunk),
            )
            found.update([digest for (digest,) in rows.fetchall()])
        return found

    def _last(self, tx: Transaction) -> int:
        return int(tx.execute("SELECT MAX(id) FROM new_keys").fetchone()[0])

    def _move(self, tx: Transaction) -> None:
        tx.execute(
            "INSERT INTO event_keys (policy, digest) SELECT policy, digest FROM new_keys"
            " WHERE policy = ? ORDER BY digest ON CONFLICT DO NOTHING",
            (self.policy,),
        )
        tx.execute("DELETE FROM new_keys WHERE policy = ?", (self.policy,))
