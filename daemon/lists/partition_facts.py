"""Partition facts: how far one partition of the log is read, as its page tells it."""

from typing import NamedTuple

from ...streams.join.offsets import UNREAD, Counts, watermark
from ...streams.log.ports import Partition
from ...streams.state.transaction import Transaction


class PartitionFacts(NamedTuple):
    """How far one partition is read."""

    counts: Counts
    """What became of its records."""
    next: int | None
    """Offset of the next record; None where it was never read."""
    read_past: float
    """Receive time that it was read past, epoch seconds; 0 where it never was."""
    all_past: float
    """The same of the partition that is the furthest behind: horizons close by it."""
    gap: int
    """Offsets that an operator gave up."""
    rewound: int
    """Offsets that an operator went back by."""


def partition_facts(view: Transaction, policy: str, partition: Partition) -> PartitionFacts | None:
    """Return how far a partition is read; None for one that is not known."""
    row = view.execute(
        "SELECT accepted, duplicate, dead_lettered, next, read_past, gap, rewound FROM offsets"
        " WHERE policy = ? AND topic = ? AND partition = ?",
        (policy, partition.topic, partition.index),
    ).fetchone()
    if row is None:
        return None
    accepted, duplicate, dead_lettered, following, read_past, gap, rewound = row
    return PartitionFacts(
        counts=Counts(accepted=accepted, duplicate=duplicate, dead_lettered=dead_lettered),
        next=None if following == UNREAD else following,
        read_past=read_past,
        all_past=watermark(view, policy),
        gap=gap,
        rewound=rewound,
    )
