"""Tools page: how the calls of each tool ended, whose fault it was, and what fails more than usual."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from ...ops.tool_errors import calls_table
from ...ops.tool_errors.blame import BLAME, PARTIES, WORKED
from ...ops.tool_errors.outages import read_outages
from ...streams.state.transaction import Transaction

DAY = 86_400.0
SHOWN_DAYS = 30.0
"""Anomalies that were over before are shown no more."""
MOST_TOOLS = 100
"""Tools shown, by their calls: a model that makes up names has a new one for every call."""


def read_tools(view: Transaction, policy: str) -> dict[str, Any]:
    """Return the last day's calls by tool and version, and the anomalies."""
    until = calls_table.read_until(view, policy)
    if until is None:
        return {
            **{key: [] for key in ("tools", "going_on", "over", "excused")},
            "more": 0,
            "parties": PARTIES,
        }
    by_tool = defaultdict[str, dict[str, Counter[str]]](lambda: defaultdict(Counter))
    total = defaultdict[str, Counter[str]](Counter)
    for one in calls_table.calls_between(view, policy, until - DAY, until + 1, int(DAY)):
        by_tool[one.tool][one.version][one.error_class] += one.calls
        total[one.tool][one.error_class] += one.calls
    by_calls = sorted(total, key=lambda tool: (-total[tool].total(), tool))
    shown = sorted(by_calls[:MOST_TOOLS])
    found = calls_table.anomalies(view, policy, since=until - SHOWN_DAYS * DAY)
    return {
        "tools": [
            {
                "name": tool,
                **_row(total[tool]),
                "versions": [
                    {"version": version, "name": version or "not said", **_row(ended)}
                    for version, ended in sorted(by_tool[tool].items(), reverse=True)
                ],
            }
            for tool in shown
        ],
        "more": len(by_tool) - len(shown),
        "going_on": [one for one in found if one.ended is None],
        "over": [one for one in found if one.ended is not None],
        "parties": PARTIES,
        # A version far above the others may have learnt to provoke outages.
        "excused": [one for one in read_outages(view, policy, DAY, until).versions if one.excused],
    }


def _row(ended: Mapping[str, int]) -> dict[str, Any]:
    """Return calls, the share that worked, and the failures by whose fault they were."""
    calls, blamed = sum(ended.values()), Counter[str]()
    for error_class, count in ended.items():
        if error_class != WORKED:
            blamed[BLAME.get(error_class, "harness")] += count
    return {
        "calls": calls,
        "worked": ended.get(WORKED, 0) / max(calls, 1),
        "blamed": [(party, blamed[party]) for party in PARTIES],
        "classes": ", ".join(
            f"{name.replace('_', ' ')} {count:,}"
            for name, count in sorted(ended.items(), key=lambda one: -one[1])
            if name != WORKED
        ),
    }
