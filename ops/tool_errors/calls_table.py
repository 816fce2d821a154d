"""Calls table: how the calls of tools ended, by tool and version over time, and the anomalies found."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from ...streams.state.transaction import Transaction

TOOL_CALLS = """
CREATE TABLE tool_calls (
    policy TEXT NOT NULL, began INTEGER NOT NULL, tool TEXT NOT NULL, version TEXT NOT NULL,
    error_class TEXT NOT NULL, calls INTEGER NOT NULL,
    PRIMARY KEY (policy, began, tool, version, error_class));
CREATE TABLE tool_anomalies (
    policy TEXT NOT NULL, began REAL NOT NULL, tool TEXT NOT NULL, version TEXT NOT NULL,
    error_class TEXT NOT NULL, ended REAL, record TEXT NOT NULL,
    PRIMARY KEY (policy, began, tool, version, error_class));
CREATE TABLE tool_calls_read (policy TEXT NOT NULL PRIMARY KEY, until REAL NOT NULL)
"""

BUCKET = 600
"""Seconds that are counted together."""


class CallCount(NamedTuple):
    """Calls of one tool that ended in one way, in one bucket of time."""

    began: int
    """Start of the bucket, epoch seconds."""
    tool: str
    """Name of the tool."""
    version: str
    """Policy version that made the calls; empty where the product did not say."""
    error_class: str
    """As in the signal; empty where they worked."""
    calls: int
    """How many."""


class ToolAnomaly(msgspec.Struct, frozen=True, kw_only=True):
    """One spike of failures, from when it was seen until it was over."""

    tool: str
    """Name of the tool."""
    version: str
    """Version whose calls fail; empty where it is about the tool whatever called it."""
    error_class: str
    """How they fail."""
    began: float
    """When it was seen, epoch seconds."""
    calls: int
    """Calls in the window in which it was seen."""
    errors: int
    """Of those, the failures."""
    expected: float
    """The bar that they passed, or their rate before."""
    bar: bool
    """Whether that was the fixed bar."""
    evidence: tuple[str, ...] = ()
    """Answers with such a failure, newest first; `rlwd explain` shows each."""
    seen: float = 0.0
    """When a look last found its failures surprising; 0 in what was written before this was noted."""
    ended: float | None = None
    """When it was over; None while it goes on."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Which series it is of: tool, version, class."""
        return self.tool, self.version, self.error_class

    @property
    def sentence(self) -> str:
        """What is wrong, with its numbers."""
        whose = f" of {self.version}" if self.version else ""
        beyond = "the bar is" if self.bar else "before it was"
        return (
            f"{self.errors} of {self.calls} calls of {self.tool}{whose} failed as"
            f" {self.error_class.replace('_', ' ')} ({self.errors / max(self.calls, 1):.1%},"
            f" {beyond} {self.expected:.1%}), since {datetime.fromtimestamp(self.began, UTC):%Y-%m-%d %H:%M} UTC"
        )


def add_calls(tx: Transaction, policy: str, counts: Iterable[CallCount]) -> None:
    """Add calls to what is counted already."""
    tx.executemany(
        "INSERT INTO tool_calls VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (policy, began, tool, version, error_class)"
        " DO UPDATE SET calls = tool_calls.calls + excluded.calls",
        [(policy, *one) for one in sorted(counts)],
    )


def read_until(tx: Transaction, policy: str) -> float | None:
    """Return up to when results are counted that were taken in; None where none ever was."""
    row = tx.execute("SELECT until FROM tool_calls_read WHERE policy = ?", (policy,)).fetchone()
    return None if row is None else float(row[0])


def move_read_until(tx: Transaction, policy: str, until: float) -> None:
    """Note up to where results are counted."""
    tx.execute(
        "INSERT INTO tool_calls_read VALUES (?, ?)"
        " ON CONFLICT (policy) DO UPDATE SET until = excluded.until",
        (policy, until),
    )


def calls_between(
    view: Transaction, policy: str, since: float, before: float, seconds: int = BUCKET
) -> list[CallCount]:
    """Return what ended in buckets that began then or later and before, added up by so many seconds."""
    rows = view.execute(
        f"SELECT began - began % {seconds} AS at, tool, version, error_class, SUM(calls)"
        " FROM tool_calls WHERE policy = ? AND began >= ? AND began < ?"
        " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        (policy, int(since), int(before)),
    )
    return [CallCount._make((*row[:4], int(row[4]))) for row in rows.fetchall()]


def forget_calls(tx: Transaction, policy: str, before: float) -> None:
    """Forget counts of buckets that began before then."""
    tx.execute("DELETE FROM tool_calls WHERE policy = ? AND began < ?", (policy, int(before)))


def save_anomaly(tx: Transaction, policy: str, one: ToolAnomaly) -> None:
    """Write an anomaly down, in the place of what it was before."""
    tx.execute(
        "INSERT INTO tool_anomalies VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (policy, began, tool, version, error_class)"
        " DO UPDATE SET ended = excluded.ended, record = excluded.record",
        (
            *(policy, one.began, one.tool, one.version, one.error_class, one.ended),
            msgspec.json.encode(one).decode(),
        ),
    )


def anomalies(
    view: Transaction, policy: str, *, since: float = 0.0, limit: int = 1000
) -> list[ToolAnomaly]:
    """Return the anomalies that were not over by then, newest first."""
    rows = view.execute(
        "SELECT record FROM tool_anomalies WHERE policy = ? AND (ended IS NULL OR ended >= ?)"
        " ORDER BY began DESC, tool, version, error_class LIMIT ?",
        (policy, since, limit),
    )
    return [msgspec.json.decode(row[0], type=ToolAnomaly) for row in rows.fetchall()]


def tool_problem(view: Transaction, policy: str) -> str | None:
    """Return what is wrong with tools at present; None where nothing is."""
    going_on = [one for one in anomalies(view, policy) if one.ended is None]
    return "; ".join(one.sentence for one in going_on) or None
