"""Ledger page: where every generation and record ended, and whether the sums close."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...streams.events.stage import EpisodeStage
from ...streams.join.offsets import record_counts
from ...streams.state.transaction import Transaction
from ..audit.generations import GenerationRow, generation_rows
from ..charts.words import fate_words
from ..lists.refused import read_letters
from ..spool.lost import read_lost
from .overview import fates_of
from .runbook import fate_entries

DAYS = 60
"""Rows by day and variant that are shown, the newest; all that do not close are."""
STAGES = {
    EpisodeStage.ORPHAN: "only feedback came",
    EpisodeStage.OPEN: "nothing decisive came yet",
    EpisodeStage.SCORED: "has a reward, and waits until its spec says that it is ready",
    EpisodeStage.READY: "may be sealed into a batch",
    EpisodeStage.SEALED: "in a batch that is not applied yet",
    EpisodeStage.CLOSED: "its fate is final",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What a pass over all answers counted."""

    rows: tuple[GenerationRow, ...]
    """By day and variant."""
    stages: dict[str, int]
    """How many rows stand at each stage."""


def read_sums(view: Transaction, policy: str, spools: Iterable[Path]) -> Sums:
    """Count all answers, as the audit does; it reads every row of them."""
    lost = sum(map(read_lost, spools), Counter[str]())
    stages = view.execute(
        "SELECT stage, COUNT(*) FROM episodes WHERE policy = ? GROUP BY stage", (policy,)
    )
    return Sums(rows=generation_rows(view, policy, lost), stages=dict(stages.fetchall()))


def read_ledger(view: Transaction, policy: str, sums: Sums) -> dict[str, Any]:
    """Return the page's content, of sums that were counted before and of what is read by key."""
    fates = sum((Counter(row.fates) for row in sums.rows), Counter[str]())
    known = sum(row.generations for row in sums.rows)
    told = fate_entries()
    wrong = [row for row in sums.rows if not row.closes]
    return {
        "fates": [{**one, "entry": told.get(one["fate"])} for one in fates_of(dict(fates), known)],
        "known": known,
        "lost": sum(row.lost_at_gateway for row in sums.rows),
        "closes": not wrong and fates.total() == known,
        "days": [_day(row) for row in [*wrong, *_newest(sums.rows, wrong)]],
        "days_left_out": max(0, len(sums.rows) - len(wrong) - DAYS),
        "stages": [
            (stage.value, sums.stages.get(stage.value, 0), said) for stage, said in STAGES.items()
        ],
        "records": [
            (partition, counts) for partition, counts in record_counts(view, policy).items()
        ],
        **read_letters(view, policy),
    }


def _newest(rows: Sequence[GenerationRow], wrong: Sequence[GenerationRow]) -> list[GenerationRow]:
    return [row for row in reversed(rows) if row not in wrong][:DAYS]


def _day(row: GenerationRow) -> dict[str, Any]:
    most = sorted(row.fates.items(), key=lambda one: -one[1])
    return {
        "day": row.day,
        "variant": row.variant or "no flag",
        "raw_variant": row.variant,
        "served": row.served,
        "known": row.generations,
        "lost": row.lost_at_gateway,
        "fates": ", ".join(f"{fate_words(name)} {count:,}" for name, count in most),
        "closes": row.closes,
    }
