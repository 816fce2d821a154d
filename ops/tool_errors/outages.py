"""Outages: which tools are out of order at present, and how many answers outages excused."""

import sqlite3
from collections import Counter, defaultdict

import msgspec

from ...streams.join.fate import TOOL_OUTAGE
from ...streams.state.transaction import Transaction
from .calls_table import anomalies, calls_between, read_until

DAY = 86_400.0
DOWN = "provider_error"
LEAST_FAILED = 3
"""Fewest calls that failed so before a tool is said to be out of order: one may be anything."""
LEAST_SHARE = 0.5
"""Share of a tool's calls within the window that failed so. An anomaly says it of a busy tool of which
fewer fail; this, of a tool with too few calls or no past to tell one by."""
MOST_VERSIONS = 5
"""Versions of which the sentence says how many answers were excused."""


class ToolDown(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that is out of order at present."""

    tool: str
    """Its name."""
    failed: int
    """Calls within the window that ended as provider errors."""
    calls: int
    """Calls within it."""

    @property
    def sentence(self) -> str:
        """What is wrong."""
        return f"{self.tool} is out of order: {self.failed} of its last {self.calls} calls failed"


class VersionExcused(msgspec.Struct, frozen=True, kw_only=True):
    """Answers of one version."""

    version: str
    """Its name; empty where the product did not say."""
    excused: int
    """Those that were left out of training for an outage."""
    answers: int
    """All of them."""


class Outages(msgspec.Struct, frozen=True, kw_only=True):
    """What is out of order, and what that excused in the last day."""

    tools: tuple[ToolDown, ...] = ()
    """Tools that are out of order."""
    versions: tuple[VersionExcused, ...] = ()
    """Versions that answered, those with the largest excused share first."""

    @property
    def excused(self) -> int:
        """Answers of the last day that outages left out."""
        return sum(one.excused for one in self.versions)

    @property
    def sentence(self) -> str:
        """How many answers were excused, of which versions; empty for none.

        A version with a share far above the others' may have learnt to provoke outages.
        """
        if not self.excused:
            return ""
        answers = sum(one.answers for one in self.versions)
        of = [one for one in self.versions if one.excused][:MOST_VERSIONS]
        each = ", ".join(
            f"{one.version or 'not said'} {one.excused} of {one.answers}" for one in of
        )
        return f"outages excused {self.excused} of {answers} answers of the last day: {each}"

    @property
    def say(self) -> list[str]:
        """All of it in sentences."""
        return [one for one in (*(each.sentence for each in self.tools), self.sentence) if one]


def read_outages(view: Transaction, policy: str, window_seconds: float, now: float) -> Outages:
    """Return the tools that are out of order, and what outages excused in the day before `now`.

    The window is the one before the last look at tools. Of a state that an older rlwd left, in which
    no call was counted, nothing is told.
    """
    try:
        return _read(view, policy, window_seconds, now)
    except sqlite3.OperationalError:
        return Outages()


def _read(view: Transaction, policy: str, window_seconds: float, now: float) -> Outages:
    until = read_until(view, policy)
    ended = defaultdict[str, Counter[str]](Counter)
    known = set[str]()
    # A daemon that has not looked for so long knows nothing of the present.
    if until is not None and now - until <= window_seconds:
        for one in calls_between(view, policy, until - window_seconds, until + 1):
            ended[one.tool][one.error_class] += one.calls
        known = {
            one.tool
            for one in anomalies(view, policy, since=until)
            if one.ended is None and one.error_class == DOWN
        }
    down = [
        ToolDown(tool=tool, failed=ways[DOWN], calls=ways.total())
        for tool, ways in sorted(ended.items())
        if (tool in known and ways[DOWN])
        or (ways[DOWN] >= LEAST_FAILED and ways[DOWN] >= LEAST_SHARE * ways.total())
    ]
    rows = view.execute(
        "SELECT COALESCE(version, ''), SUM(CASE WHEN fate = ? THEN 1 ELSE 0 END), COUNT(*)"
        " FROM episodes WHERE policy = ? AND received > ? GROUP BY 1",
        (TOOL_OUTAGE, policy, now - DAY),
    ).fetchall()
    versions = [
        VersionExcused(version=version, excused=int(excused), answers=int(answers))
        for version, excused, answers in rows
    ]
    versions.sort(key=lambda one: (-one.excused / one.answers, one.version))
    return Outages(tools=tuple(down), versions=tuple(versions))
