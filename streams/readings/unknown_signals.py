"""Unknown signals: how many came of each kind that this build does not know."""

from collections import Counter
from collections.abc import Iterable

from ..events.signals import UnknownSignal
from ..state.transaction import Transaction

UNKNOWN_SIGNALS = """
CREATE TABLE unknown_signals (
    policy TEXT NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (policy, kind))
"""
KINDS_KEPT = 100
"""Most kinds that are counted by name; whoever invents more of them fills no table."""
OTHERS = "others"


def count_unknown(tx: Transaction, policy: str, signals: Iterable[object]) -> None:
    """Count the signals of a poll that nobody here knows."""
    came = Counter(one.named for one in signals if type(one) is UnknownSignal)
    if not came:
        return
    known = unknown_signals(tx, policy)
    for kind, count in sorted(came.items()):
        name = kind if kind in known or len(known) < KINDS_KEPT else OTHERS
        known[name] = known.get(name, 0) + count
        tx.execute(
            "INSERT INTO unknown_signals (policy, kind, count) VALUES (?, ?, ?)"
            " ON CONFLICT (policy, kind) DO UPDATE SET count = unknown_signals.count + ?",
            (policy, name, count, count),
        )


def unknown_signals(view: Transaction, policy: str) -> dict[str, int]:
    """Return how many came, by kind."""
    rows = view.execute(
        "SELECT kind, count FROM unknown_signals WHERE policy = ? ORDER BY kind", (policy,)
    ).fetchall()
    return dict(rows)
