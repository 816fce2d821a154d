"""Report files: a triage report in a folder, as Markdown and as JSON."""

from pathlib import Path

import msgspec

from ...ops.triage.report_page import report_page
from ...ops.triage.triage_report import TriageReport
from ...streams.state.durable import replace_file

KEPT = 52
"""Reports of each kind that the daemon keeps in the state folder."""


def write_report(folder: Path, report: TriageReport, *, keep: bool = False) -> list[Path]:
    """Write both files, each whole or not at all; with `keep` only the newest stay. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    text = report_page(report).encode()
    record = msgspec.json.format(msgspec.json.encode(report), indent=2)
    written = []
    for content, suffix in ((text, "md"), (record, "json")):
        path = folder / f"triage-{report.since}.{suffix}"
        replace_file(path, content)
        written.append(path)
        if keep:
            for old in sorted(folder.glob(f"triage-*.{suffix}"))[:-KEPT]:
                old.unlink(missing_ok=True)
    return written
