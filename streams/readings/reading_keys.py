"""Reading keys: what proves that the daemon wrote a reading, kept where every ingest member sees it."""

import secrets

from ..state.transaction import Transaction

READING_KEYS = """
CREATE TABLE reading_keys (
    policy TEXT NOT NULL, key BLOB NOT NULL, made REAL NOT NULL,
    PRIMARY KEY (policy, key))
"""


def reading_keys(view: Transaction, policy: str) -> tuple[bytes, ...]:
    """Return the keys whose readings count, newest first."""
    rows = view.execute(
        "SELECT key FROM reading_keys WHERE policy = ? ORDER BY made DESC, key", (policy,)
    ).fetchall()
    return tuple([bytes(key) for (key,) in rows])


def have_key(tx: Transaction, policy: str, now: float) -> bytes:
    """Return the newest key; makes one where there is none."""
    found = reading_keys(tx, policy)
    if found:
        return found[0]
    key = secrets.token_bytes(32)
    tx.execute("INSERT INTO reading_keys (policy, key, made) VALUES (?, ?, ?)", (policy, key, now))
    return key
