"""Drift page part: how the last versions behave against their references, and the alarms."""

from typing import Any

from ...ops.drift import alarms_table
from ...ops.drift.drift_look import BehaviourLook
from ...streams.state.transaction import Transaction
from ..charts.words import between, metric_words

LOOKS, ALARMS = 4, 8
"""Most looks, and alarms, on the overview; `rlwd report` prints all."""


def read_drift(view: Transaction, policy: str) -> dict[str, Any]:
    """Return the last looks as rows, and the alarms as sentences."""
    return {
        "alarms": [
            {"says": one.sentence, "evidence": one.evidence}
            for one in alarms_table.alarms(view, policy)[:ALARMS]
        ],
        "looks": [
            {
                "version": look.version,
                "against": f"{look.against}, all steps together" if look.total else look.against,
                "answers": f"{look.answers:,}",
                "rows": [_row(one) for one in look.behaviours],
                "phrases": "; ".join(look.phrases),
            }
            for look in alarms_table.looks(view, policy)[:LOOKS]
        ],
    }


def _row(one: BehaviourLook) -> dict[str, Any]:
    bounded = one.low is not None and one.high is not None
    return {
        "name": metric_words(one.name),
        "rate": f"{one.rate:.3f}",
        "reference": f"{one.reference:.3f}",
        "difference": f"{one.difference:+.3f}",
        "between": f"{one.low:+.3f} to {one.high:+.3f}" if bounded else between(None, None),
        "bar": one.told_bar,
        "users": f"{one.users:,}",
        "passed": one.passed,
    }
