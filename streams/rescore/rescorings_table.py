"""Rescorings: the table of how far a policy's answers were looked at again under its spec."""

from typing import NamedTuple

from ..attribution.chain_table import any_chain_feedback
from ..state.transaction import Transaction

RESCORINGS = """
CREATE TABLE rescorings (
    policy TEXT NOT NULL PRIMARY KEY, spec_version TEXT NOT NULL, below BIGINT NOT NULL,
    looked BIGINT NOT NULL, scored BIGINT NOT NULL, began REAL NOT NULL, ended REAL)
"""

ATTRIBUTED = "ALTER TABLE rescorings ADD COLUMN attributed TEXT NOT NULL DEFAULT ''"
"""How far it was worked out anew what feedback on chains reaches, as `reattribute.py` writes it."""
DONE = "done"
"""What stands there once that is worked out."""

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
    attributed: str = ""
    """How far the attribution is, which goes before; `DONE` once it is done."""


def find_rescoring(tx: Transaction, policy: str) -> Rescoring | None:
    """Return a policy's last pass; None before its first."""
    row = tx.execute(
        "SELECT spec_version, below, looked, scored, began, ended, attributed FROM rescorings WHERE policy = ?",
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


def attribution_stands(tx: Transaction, policy: str, spec_version: str) -> bool:
    """Return whether feedback on chains reaches what it does by this spec, and no earlier one."""
    known = find_rescoring(tx, policy)
    if known is None:
        return not any_chain_feedback(tx, policy)
    return known.spec_version == spec_version and (
        known.ended is not None or known.attributed == DONE
    )
