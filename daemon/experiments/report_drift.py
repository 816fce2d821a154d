"""Report drift: how versions behave, and the alarms with the answers that they name."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ...ops.drift import alarms_table
from ...ops.drift.drift_look import DriftLook
from ...streams.sessions.contents import load_texts
from ...streams.state.transaction import Transaction
from ..status.shown_text import shown

LOOKS = 16
"""Most looks that are reported: of a version there may be two."""
SHOWN = 300
"""Characters of an answer that the terminal shows; JSON has all."""


def read_drift_report(view: Transaction, policy: str) -> dict[str, Any]:
    """Return the last looks and all alarms, each with its answers: text only where it is held.

    What was never consented to, was forgotten or erased has an id and nothing else.
    """
    alarms = alarms_table.alarms(view, policy)
    named = sorted({name for alarm in alarms for name in alarm.evidence})
    texts = load_texts(view, policy, named) if named else {}
    return {
        "looks": msgspec.to_builtins(alarms_table.looks(view, policy)[:LOOKS]),
        "alarms": [
            {
                **msgspec.to_builtins(alarm),
                "evidence": [
                    {"generation_id": name, "text": texts.get(name)} for name in alarm.evidence
                ],
            }
            for alarm in alarms
        ],
    }


def drift_tables(document: dict[str, Any]) -> Iterator[RenderableType]:
    """Yield the looks as tables, and the alarms with their answers."""
    for look in msgspec.convert(document["looks"], list[DriftLook]):
        yield _table(look)
    for alarm in document["alarms"]:
        yield shown(f"alarm: {alarm['version']}: reward is not down while {alarm['said']}")
        yield _answers(alarm["evidence"])


def _table(look: DriftLook) -> Table:
    table = Table(
        box=box.SIMPLE,
        title=f"{look.version} {look.against}, {look.answers} answers",
        title_justify="left",
    )
    table.add_column("behaviour", no_wrap=True)
    for name in ("here", "reference", "difference", "bar", "users"):
        table.add_column(name, justify="right")
    for one in look.behaviours:
        within = "" if one.low is None else f" ({one.low:+.3f} to {one.high:+.3f})"
        table.add_row(
            shown(one.name),
            f"{one.rate:.3f}",
            f"{one.reference:.3f}",
            Text(f"{one.difference:+.3f}{within}", style="bold" if one.passed else ""),
            one.told_bar,
            str(one.users),
        )
    if look.phrases:
        table.caption = "phrases that grew: " + "; ".join(look.phrases)
    return table


def _answers(evidence: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for one in evidence:
        text = one["text"]
        said = "(its text is not held)" if text is None else text[:SHOWN]
        table.add_row(shown(one["generation_id"]), shown(said))
    return table
