"""IngestLoop: a daemon that only consumes, joins, scores and closes horizons (CONTRACTS 24).

Many of them share one consumer group and one PostgreSQL with the one in the control role, which may
ingest beside them. Each row is written by whoever holds its partition; there is no lease to take,
no learner and no release. On SQLite one process writes at a time, so a second would bring nothing.
"""

from typing import Any

from ...streams.rescore.rescorings_table import find_rescoring
from .lifecycle import Deadline
from .loop import DaemonLoop
from .timers import PERIODS, Intent

INGEST_PERIODS = {intent: PERIODS[intent] for intent in (Intent.CLOSE_HORIZONS, Intent.MEASURE)}
"""What the timers of this role ask for, and how often."""


class IngestLoop(DaemonLoop):
    """One member of the group; dead letters are forwarded by the control role."""

    role = "ingest"
    _apart: str | None = None
    """How its reward spec differs from the daemon's; None where it does not, as far as is known."""

    def prepare(self, now: float) -> None:
        """Do nothing: there is no lease to hold."""

    def work(self, now: float) -> None:
        """Do nothing more: what was polled is joined and scored."""

    def do(self, intent: Intent, now: float) -> None:
        """Do what a timer asked for; by another spec than the daemon's no horizon is closed.

        What a member scores by an older one is scored again, but what it gives up is given up.
        """
        if intent is Intent.CLOSE_HORIZONS:
            self._apart = self._compare()
        if intent is not Intent.CLOSE_HORIZONS or self._apart is None:
            super().do(intent, now)

    def _compare(self) -> str | None:
        own = self.ingest.joiner.scoring.score.version
        with self.store.reading() as view:
            known = find_rescoring(view, self.policy)
        if known is None or known.spec_version == own:
            return None
        return (
            f"this member has reward spec {own}, the daemon {known.spec_version}: it closes no horizon;"
            " give both the same file and restart them"
        )

    def problems(self) -> dict[str, str | None]:
        """Return what keeps it from being ready, by dependency."""
        found = super().problems()
        return found | {"rewards": found["rewards"] or self._apart}

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
