"""Alarms table: behaviours that passed their bar while the reward was not down, once each and version.

An alarm holds ids of answers and none of their texts: these are looked up when it is shown, so that
what was erased, forgotten or never consented to is not in it.
"""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from ...streams.state.transaction import Transaction
from .drift_look import DriftLook

DRIFT = """
CREATE TABLE drift_looks (
    policy TEXT NOT NULL, version TEXT NOT NULL, at REAL NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (policy, version));
CREATE TABLE drift_alarms (
    policy TEXT NOT NULL, version TEXT NOT NULL, behaviour TEXT NOT NULL, at REAL NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (policy, version, behaviour))
"""
REPLAY = "replay:"
"""Before a behaviour that a version shows in production and not on a benchmark, or the other way round."""
TOTAL = "total:"
"""Before a behaviour that passed its bar against what stays the same from version to version."""
IN_ALL = "in all, step by step: "
"""The same for people."""
LOOKS_KEPT = 200
"""Last looks that are kept: of a version there may be two."""


class DriftAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """One behaviour of one version that passed its bar while the reward was not shown to be down."""

    version: str
    """The version."""
    behaviour: str
    """The behaviour."""
    at: float
    """When it was shown, epoch seconds."""
    said: str
    """What was shown, in words."""
    evidence: tuple[str, ...]
    """Ten answers that do it, by generation id."""

    @property
    def holds(self) -> bool:
        """Whether it may hold a rollout: a new phrase is a matter of taste, and is only filed.

        A gap to a benchmark says that the gate saw something else, and not that people are worse off.
        """
        return self.behaviour != "phrases" and not self.is_gap

    @property
    def is_gap(self) -> bool:
        """Whether it says that production is not what a benchmark showed."""
        return self.behaviour.startswith(REPLAY)

    @property
    def is_total(self) -> bool:
        """Whether it is of all steps together, this version's and those before it."""
        return self.behaviour.startswith(TOTAL)

    @property
    def habit(self) -> str:
        """The behaviour, whatever it was held against."""
        return self.behaviour.removeprefix(TOTAL)

    @property
    def sentence(self) -> str:
        """The alarm as a problem says it."""
        if self.is_gap:
            return f"{self.version} behaves otherwise when it is replayed: {self.said}"
        steps = IN_ALL if self.is_total else ""
        return (
            f"{self.version}: reward is not down while {steps}{self.said};"
            " `rlwd report` shows answers"
        )


def save_look(tx: Transaction, policy: str, look: DriftLook) -> None:
    """Write a version's look down in the place of the one before; the oldest versions' go.

    A look against what stays the same has a place of its own.
    """
    place = _place(look.version) if look.total else look.version
    tx.execute(
        "INSERT INTO drift_looks VALUES (?, ?, ?, ?) ON CONFLICT (policy, version)"
        " DO UPDATE SET at = excluded.at, record = excluded.record",
        (policy, place, look.at, msgspec.json.encode(look).decode()),
    )
    tx.execute(
        "DELETE FROM drift_looks WHERE policy = ? AND version NOT IN (SELECT version FROM"
        " drift_looks WHERE policy = ? ORDER BY at DESC, version LIMIT ?)",
        (policy, policy, LOOKS_KEPT),
    )


def looks(tx: Transaction, policy: str) -> list[DriftLook]:
    """Return the last looks at every version, the newest first, of a version that in total last."""
    rows = _rows(
        tx,
        "SELECT record FROM drift_looks WHERE policy = ? ORDER BY at DESC, version",
        (policy,),
    )
    return [msgspec.json.decode(record, type=DriftLook) for (record,) in rows]


def find_look(tx: Transaction, policy: str, version: str) -> DriftLook | None:
    """Return the last look at a version beside its predecessor."""
    rows = _rows(
        tx, "SELECT record FROM drift_looks WHERE policy = ? AND version = ?", (policy, version)
    )
    return msgspec.json.decode(rows[0][0], type=DriftLook) if rows else None


def looks_at(tx: Transaction, policy: str, version: str) -> list[DriftLook]:
    """Return the last looks at a version: beside its predecessor, and in total."""
    rows = _rows(
        tx,
        "SELECT record FROM drift_looks WHERE policy = ? AND version IN (?, ?) ORDER BY version",
        (policy, version, _place(version)),
    )
    return [msgspec.json.decode(record, type=DriftLook) for (record,) in rows]


def file_alarms(tx: Transaction, policy: str, found: Iterable[DriftAlarm]) -> list[DriftAlarm]:
    """Write alarms down; return those that are new: each fires once for a version."""
    new = []
    for one in found:
        row = tx.execute(
            "INSERT INTO drift_alarms VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING at",
            (policy, one.version, one.behaviour, one.at, msgspec.json.encode(one).decode()),
        ).fetchone()
        if row is not None:
            new.append(one)
    return new


def alarms(tx: Transaction, policy: str, versions: Sequence[str] | None = None) -> list[DriftAlarm]:
    """Return the alarms, newest first: of these versions, or of all."""
    rows = _rows(tx, "SELECT record FROM drift_alarms WHERE policy = ? ORDER BY at DESC", (policy,))
    found = [msgspec.json.decode(record, type=DriftAlarm) for (record,) in rows]
    return [one for one in found if versions is None or one.version in versions]


def _place(version: str) -> str:
    return f"{version} {TOTAL}"


def _rows(tx: Transaction, sql: str, values: tuple[str, ...]) -> list[tuple[str]]:
    try:
        return list(tx.execute(sql, values).fetchall())
    except sqlite3.OperationalError:
        return []  # A state that an older rlwd left: nothing was watched there.
