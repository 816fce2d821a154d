"""`python -m real_runs FOLDER`: the reports of an open model's demos beside one another, as a table.

A report is `NAME.json`, as `rlwd demo --model smollm2 --report` writes it; what it does not say is left empty.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

Report = Mapping[str, Any]


def _pair(kind: str) -> Callable[[Report], str]:
    def told(report: Report) -> str:
        exam = report.get("exam") or {}
        if not exam:
            return ""
        return f"{exam['before'][kind]:.2f} → {exam['after'][kind]:.2f}"

    return told


def _served(report: Report) -> str:
    served = report["event_to_served_s"]
    return "" if served["p50"] is None else f"{served['p50']:.0f} s ({served['p95']:.0f} s)"


def _parts(report: Report) -> str:
    parts = report["event_to_served_s"]["parts"] or {}
    return ", ".join(f"{seconds:.0f}" for seconds in parts.values())


def _four_fifths(report: Report) -> str:
    until = report["answers_until_four_fifths"]
    return "never" if until is None else f"{until:,}"


def _versions(report: Report) -> str:
    told = report["versions"]
    return f"{told['offered']}, {told['promoted']}, {told['rolled_back']}"


ROWS: tuple[tuple[str, Callable[[Report], str]], ...] = (
    (
        "accepted: first and last tenth",
        lambda r: f"{r['accept_rate']['first_tenth']:.2f} → {r['accept_rate']['last_tenth']:.2f}",
    ),
    ("answers", lambda r: f"{r['requests']['sent']:,}"),
    ("answers until 0.80 of 200", _four_fifths),
    ("things and kinds never asked about", _pair("unseen")),
    ("wordings never used", _pair("reworded")),
    ("everyday questions right", _pair("everyday")),
    ("event to served, middle (95 %)", _served),
    ("of these: waiting for a batch, learning, gate and turn (means, s)", _parts),
    ("versions offered, promoted, rolled back", _versions),
    ("requests that failed", lambda r: str(r["requests"]["failed"])),
    ("minutes", lambda r: f"{r['wall_s'] / 60:.1f}"),
)


def runs_table(reports: Mapping[str, Report]) -> str:
    """Return a column for each report, by its name."""
    lines = [f"| | {' | '.join(reports)} |", "| --- |" + " --- |" * len(reports)]
    for name, tell in ROWS:
        lines.append(f"| {name} | {' | '.join(tell(one) for one in reports.values())} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table of a folder's reports, or of the files that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", type=Path, nargs="+", help="files, or a folder of them")
    given = parser.parse_args()
    files = [
        each
        for one in given.reports
        for each in (sorted(one.glob("*.json")) if one.is_dir() else [one])
        if not each.name.endswith(".run.json")
    ]
    print(runs_table({file.stem: orjson.loads(file.read_bytes()) for file in files}))


if __name__ == "__main__":
    main()
