"""Problems page: what is wrong now and since when, what is over, and what the runbook says of it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..status.server import Vitals
from .runbook import entry_of, runbook, sections

PAGES: Mapping[str, tuple[str, str]] = {
    "learner": ("/learner", "Learner"),
    "learning": ("/learner", "Learner"),
    "skipped": ("/learner", "Learner"),
    "mismatch": ("/learner", "Learner"),
    "drift_budget": ("/learner", "Learner"),
    "answers": ("/ledger", "Ledger"),
    "late": ("/signals", "Rewards and signals"),
    "rewards": ("/signals", "Rewards and signals"),
    "reader": ("/readings", "Readings"),
    "tools": ("/tools", "Tools"),
    "rollout": ("/rollouts", "Rollouts"),
    "crowd": ("/rollouts", "Rollouts"),
    "drift": ("/", "Overview"),
    "benchmark": ("/", "Overview"),
    "holdout": ("/", "Overview"),
    "flags": ("/", "Overview"),
    "gateways": ("/", "Overview"),
    "parent": ("/learner", "Learner"),
    "triage": ("/triage", "Triage"),
}
"""Where a problem is seen in numbers, and the name of that page."""


def read_problems(vitals: Vitals, seen: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the page's content; `seen` has by problem the answers that show it."""
    return {
        "wrong": [
            {
                "name": name,
                "says": says,
                "since": vitals.since.get(name, vitals.started),
                "before": name not in vitals.since,
                "entry": entry_of(name),
                "page": PAGES.get(name),
                "answers": seen.get(name, ()),
            }
            # Copied whole: the loop goes on in a thread of its own.
            for name, says in dict(vitals.problems).items()
        ],
        "over": list(vitals.over)[::-1],
        "anchors": {name: one.anchor for one in runbook() for name in one.problems},
        "started": vitals.started,
        "turned": max(0.0, time.monotonic() - vitals.ticked_at),
        "sections": sections(),
    }
