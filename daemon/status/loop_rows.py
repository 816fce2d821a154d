"""Loop rows: what `rlwd status` says of the loop, each line with its name."""

from collections.abc import Mapping
from typing import Any

from .reading_status import reading_rows


def loop_rows(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of a status document that are about what the loop does."""
    batches = ", ".join(f"{state} {count}" for state, count in document["batches"].items())
    rows = [
        ("ready episodes", str(document["ready"])),
        ("late feedback", str(document["late_feedback"])),
        ("batches", batches or "none"),
    ]
    rows += served_rows(document["event_to_served_s"])
    if document["too_old"].get("said"):
        rows.append(("too old to learn from", document["too_old"]["said"]))
    if (sessions := document["sessions"])["seen"]:
        share = sessions["switched"] / sessions["seen"]
        told = f"{share:.1%} of {sessions['seen']} in the last day"
        rows.append(("conversations whose version changed", told))
    bent = document["excluded_by_sampling"]
    shares = ", ".join(f"{rule.partition(':')[2]} {share:.1%}" for rule, share in bent.items())
    rows.append(("excluded by sampling", f"{sum(bent.values()):.1%} ({shares})"))
    return [*rows, *reading_rows(document)]


def served_rows(served: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how long it took until what people said was served, as `event_to_served` tells it."""
    rows = []
    if served["count"]:
        spread = f"{served['p50']:.1f} s median, {served['p95']:.1f} s for 95 %"
        rows.append(("event to served", f"{spread}, of {served['count']} feedback"))
    if served["unmet"]:
        middle = served["p50_any"]
        told = "nothing is yet" if middle is None else f"{middle:.1f} s median with it"
        said = f"{served['unmet']} feedback, in the next version that is met; {told}"
        rows.append(("learned into versions that nobody met", said))
    return rows
