"""Readings page: what was read in people's next messages, and how well the reader is calibrated."""

import time
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ...ops.reading.reader_folder import load_reader, load_state
from ...ops.reading.settings import SatisfactionSettings
from ...rewards.satisfaction.agreement import Agreement
from ...streams.readings.reading_tallies import describe_readings
from ...streams.state.transaction import Transaction
from ..charts.chart import reliability_chart
from ..status.reading_status import CLASSES

REFUSED = {
    "too_late": "could not be read in time",
    "gone": "their content was forgotten, or never kept",
    "no_consent": "somebody agreed to no learning",
    "overruled": "a posted message took their place",
    "read_already": "had been read",
    "tenant_refuses": "their tenant lets nothing go to the judge",
    "no_reader": "nobody reads them any more: the reader is off, or their rubric is gone",
}
JUDGE = {
    "calls": "calls",
    "tokens": "tokens",
    "cached": "known already",
    "errors": "failed calls",
    "not_understood": "answers that said nothing",
    "over_budget": "not asked, since the day's budget is spent",
}


def read_readings(
    view: Transaction, policy: str, settings: SatisfactionSettings, folder: Path
) -> dict[str, Any]:
    """Return the page's content."""
    told = describe_readings(view, policy, time.time())
    state = load_state(folder)
    reader = load_reader(folder, state.version)
    evidence = None if reader is None else reader.evidence
    return {
        "kind": settings.reader,
        "state": state,
        "waiting": told["waiting"],
        "counts": [
            (group, [(words, told["all"].get(n, 0), told["today"].get(n, 0)) for n, words in of])
            for group, of in (
                ("Readings", [(name, name) for name in CLASSES]),
                ("Not read", list(REFUSED.items())),
                ("The judge", list(JUDGE.items())),
            )
        ],
        "evidence": evidence,
        "curve": None if evidence is None else curve_of(evidence.held_out),
    }


def curve_of(held_out: Agreement) -> Markup:
    """Return a reliability curve."""
    points = [(one.said, one.was, one.count) for one in held_out.bins]
    return reliability_chart("reliability", "What the reader says and what was decided", points)
