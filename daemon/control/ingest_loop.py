"""IngestLoop: a daemon that only consumes, joins, scores and closes horizons (CONTRACTS 24).

Many of them share one consumer group and one PostgreSQL with the one in the control role, which may
ingest beside them. Each row is written by whoever holds its partition; there is no lease to take,
no learner and no release. On SQLite one process writes at a time, so a second would bring nothing.
"""

from typing import Any

from .lifecycle import Deadline
from .loop import DaemonLoop
from .timers import PERIODS, Intent

INGEST_PERIODS = {intent: PERIODS[intent] for intent in (Intent.CLOSE_HORIZONS, Intent.MEASURE)}
"""What the timers of this role ask for, and how often."""


class IngestLoop(DaemonLoop):
    """One member of the group; dead letters are forwarded by the control role."""

    role = "ingest"

    def prepare(self, now: float) -> None:
        """Do nothing: there is no lease to hold."""

    def work(self, now: float) -> None:
        """Do nothing more: what was polled is joined and scored."""

    def names(self) -> dict[str, Any]:
        """Return the role, and the name under which it holds partitions."""
        return {"role": self.role, "owner": self.ingest.joiner.owner}

    def facts(self) -> dict[str, Any]:
        """Return the partitions that it reads."""
        partitions = sorted(self.ingest.source.progress())
        return {"partitions": [f"{each.topic}/{each.index}" for each in partitions]}

    def stop_work(self, deadline: Deadline) -> dict[str, Any]:
        """Stop nothing: the group keeps the partitions for this member until its session ends."""
        return {}
