"""The audit's second identity: what gateways served is known here with one fate each, or known to be lost."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ...streams.join import fate
from ...streams.state.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRow:
    """Generations of one day and variant."""

    day: str
    """Date, UTC."""
    variant: str
    """What the flag returned; empty where no flag was asked."""
    generations: int
    """Known."""
    fates: dict[str, int]
    """How many ended how; each generation has one."""
    lost_at_gateway: int = 0
    """Served, and never on the log: dropped by full spools, or not taken by full disks."""

    @property
    def served(self) -> int:
        """All that were served: known here, or known to be lost."""
        return self.generations + self.lost_at_gateway

    @property
    def sums(self) -> str:
        """The counts in words, for one who looks for the difference."""
        ends = ", ".join(f"{name} {count}" for name, count in self.fates.items())
        return f"{self.generations} known; {ends}"

    @property
    def closes(self) -> bool:
        """True where the fates sum to the generations and each is one that the contract knows."""
        known = all(
            name in (fate.TRAINED, fate.WAITING, fate.DEAD_LETTERED)
            or name.startswith(("censored:", "excluded:"))
            for name in self.fates
        )
        return known and sum(self.fates.values()) == self.generations


def generation_rows(
    view: Transaction, policy: str, lost: Mapping[str, int]
) -> tuple[GenerationRow, ...]:
    """Return every day and variant; `lost` are counts of gateways by `topic|day|variant`."""
    totals = view.execute(
        "SELECT day, variant, COUNT(*) FROM episodes WHERE policy = ? AND received IS NOT NULL"
        " GROUP BY day, variant ORDER BY day, variant",
        (policy,),
    ).fetchall()
    known = {(_date(day), variant): count for day, variant, count in totals}
    fates: dict[tuple[str, str], dict[str, int]] = {}
    for day, variant, name, count in view.execute(
        "SELECT day, variant, fate, COUNT(*) FROM episodes"
        " WHERE policy = ? AND received IS NOT NULL GROUP BY day, variant, fate ORDER BY fate",
        (policy,),
    ).fetchall():
        fates.setdefault((_date(day), variant), {})[name] = count
    lost_there: Counter[tuple[str, str]] = Counter()
    for label, count in lost.items():
        _, date, variant = [*label.split("|"), "", ""][:3]
        # Feedback has no variant: it is counted by its topic alone.
        if variant:
            lost_there[date, variant] += count
    return tuple(
        GenerationRow(
            day=date,
            variant=variant,
            generations=known.get((date, variant), 0),
            fates=fates.get((date, variant), {}),
            lost_at_gateway=lost_there[date, variant],
        )
        for date, variant in sorted(known.keys() | lost_there.keys())
    )


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * 86400, UTC).date().isoformat()
