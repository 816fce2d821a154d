"""Demo report: one JSON document of what happened, and the lines that end the demo."""

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ...ops.rollout.rollouts_table import history
from ...ops.stages.record import Rollout, Stage
from ...streams.answers.answer_tallies import count_fates
from ...streams.state.store import Store
from ..status.served_times import event_to_served
from .crowd import CrowdResults
from .curve import WINDOW, answers_until
from .processes import DemoProcesses


def build_report(
    store: Store, policy: str, tally: CrowdResults, *, wall: float, seed: int
) -> dict[str, Any]:
    """Return what the crowd saw and what the ledger says, as one document."""
    with store.reading() as view:
        fates = count_fates(view, policy)
        rollouts = history(view, policy)
        served = event_to_served(view, policy)
    return {
        "accept_rate": {
            "first_tenth": round(tally.accept_rate(0.0, 0.1), 4),
            "last_tenth": round(tally.accept_rate(0.9, 1.0), 4),
        },
        "wanted_rate": {
            "first_tenth": round(tally.wanted_rate(0.0, 0.1), 4),
            "last_tenth": round(tally.wanted_rate(0.9, 1.0), 4),
        },
        "answers_until_four_fifths": answers_until([a.taken for a in tally.answers], 0.8),
        "answers_until_four_fifths_wanted": answers_until([a.wanted for a in tally.answers], 0.8),
        "versions": {
            "offered": len(rollouts),
            "promoted": sum(_was_promoted(rollout) for rollout in rollouts),
            "rolled_back": sum(
                rollout.stage in (Stage.ROLLED_BACK, Stage.QUARANTINED) for rollout in rollouts
            ),
        },
        "generations": sum(fates.values()),
        "fates": fates,
        "event_to_served_s": {
            "p50": served["p50"],
            "p95": served["p95"],
            "parts": served["parts"],
            "count": served["count"],
            "unmet": served["unmet"],
            "p50_any": served["p50_any"],
        },
        "requests": {"sent": tally.sent, "failed": tally.failed},
        "feedback_failed": tally.feedback_failed,
        "wall_s": round(wall, 2),
        "seed": seed,
    }


def _was_promoted(rollout: Rollout) -> bool:
    return any(move.stage is Stage.PROMOTED for move in rollout.trail)


def print_end(
    console: Console,
    report: dict[str, Any],
    processes: DemoProcesses,
    *,
    picture: Path | None,
    target: Path,
) -> None:
    """Say what was learned, and where to look."""
    rate, versions = report["accept_rate"], report["versions"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("accept rate", f"{rate['first_tenth']:.0%} → {rate['last_tenth']:.0%}")
    wanted = report["wanted_rate"]
    if report["people"] != "calm":
        table.add_row(
            "what was wanted", f"{wanted['first_tenth']:.0%} → {wanted['last_tenth']:.0%}"
        )
    until = report["answers_until_four_fifths"]
    told = "never" if until is None else f"after {until:,} answers"
    table.add_row(f"80% of {WINDOW} accepted", told)
    table.add_row(
        "versions",
        f"{versions['offered']} offered, {versions['promoted']} promoted,"
        f" {versions['rolled_back']} rolled back",
    )
    table.add_row(
        "requests", f"{report['requests']['sent']} sent, {report['requests']['failed']} failed"
    )
    p50 = report["event_to_served_s"]["p50"]
    if p50 is not None:
        served = report["event_to_served_s"]
        later = f"; {served['p50_any']:.1f} s with what a later version brought" * bool(
            served["unmet"]
        )
        table.add_row("event to served", f"{p50:.1f} s (median){later}")
    fates = ", ".join(f"{fate} {count}" for fate, count in report["fates"].items())
    table.add_row("fates", fates)
    table.add_row("wall time", f"{report['wall_s']:.0f} s")
    table.add_row(
        "learning curve", str(picture or "not drawn: matplotlib is absent (`rlwd[plot]`)")
    )
    table.add_row("report", str(target))
    console.print(table)
    _print_pages(console, processes)
    if processes.with_mlflow:
        _print_mlflow(console, processes)


def _print_pages(console: Console, processes: DemoProcesses) -> None:
    console.print(
        "\nEvery rollout is on the daemon's pages, effect by effect; they open again with:"
    )
    console.print(
        f"  {sys.executable} -m rlwd.daemon run --config {processes.config}",
        soft_wrap=True,
        highlight=False,
    )
    console.print(f"  and then {processes.http_url}", highlight=False)


def _print_mlflow(console: Console, processes: DemoProcesses) -> None:
    database = processes.folder / "mlflow" / "mlflow.db"
    console.print("\nMLflow's pages, with a run for each version, open with:")
    console.print(
        f"  .venv/bin/mlflow server --backend-store-uri sqlite:///{database} \\\n"
        f"      --artifacts-destination {processes.folder / 'mlflow' / 'artifacts'} --port 5000",
        soft_wrap=True,
        highlight=False,
    )
    console.print("  and then http://127.0.0.1:5000", highlight=False)
