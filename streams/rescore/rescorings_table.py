"""Rescorings: the table of how far a policy's answers were looked at again under its spec."""

from typing import NamedTuple

from ..state.transaction import Transaction

RESCORINGS = """
CREATE TABLE rescorings (
    policy TEXT NOT NULL PRIMARY KEY, spec_version TEXT NOT NULL, below BIGINT NOT NULL,
    looked BIGINT NOT NULL, scored BIGINT NOT NULL, began REAL NOT NULL, ended REAL)
"""

FIRST = 2**62
"""Above the id of any content: nothing was looked at yet."""


class Rescoring(NamedTuple):
    """One pass over all answers that are held."""

    spec_version: str
    """The spec under which they are scored."""
    below: int
    """Contents with an id below this one are still to be looked at; newest come first."""
    looked: int
    """Answers looked at."""
    scored: int
    """Of these, the ones that had been scored under another spec."""
    began: float
    """When it began, epoch seconds."""
    ended: float | None
    """When it ended; None while it goes on."""


def find_rescoring(tx: Transaction, policy: str) -> Rescoring | None:
    """Return a policy's last pass; None before its first."""
    row = tx.execute(
        "SELECT spec_version, below, looked, scored, began, ended FROM rescorings WHERE policy = ?",
        (policy,),
    ).fetchone()
    return None if row is None else Rescoring._make(row)


def put_rescoring(tx: Transaction, policy: str, rescoring: Rescoring) -> None:
    """Write down how far a pass is, in place of any earlier one."""
    columns = Rescoring._fields
    tx.execute(
        f"INSERT INTO rescorings (policy, {', '.join(columns)})"
        f" VALUES ({', '.join('?' * (len(columns) + 1))}) ON CONFLICT (policy) DO UPDATE SET "
        + ", ".join(f"{column} = excluded.{column}" for column in columns),
        (policy, *rescoring),
    )
