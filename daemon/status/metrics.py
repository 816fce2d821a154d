"""Metrics: what the daemon shows to Prometheus.

Bounded labels only: a policy version stands on the info gauge and on nothing else.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ...streams.join.joiner import Ingested


class Metrics:
    """The daemon's series, `rlwd_` first, base units, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._records = Counter(
            "rlwd_records",
            "Records delivered, by what became of them",
            ["outcome"],
            registry=self.registry,
        )
        self._late = Counter(
            "rlwd_late_feedback",
            "Feedback that came after its episode was sealed or closed",
            registry=self.registry,
        )
        self._fates = Gauge(
            "rlwd_generations", "Generations known, by fate", ["fate"], registry=self.registry
        )
        self._tick = Histogram(
            "rlwd_tick_seconds",
            "One turn of the loop, without waiting for records",
            registry=self.registry,
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0),
        )
        self._learner = Gauge(
            "rlwd_learner_up", "1 while the learner process lives", registry=self.registry
        )
        self._info = Gauge(
            "rlwd_champion_info", "1 for the version served", ["version"], registry=self.registry
        )
        self._mirror = Gauge(
            "rlwd_mlflow",
            "What waits for MLflow and what was dropped",
            ["what"],
            registry=self.registry,
        )
        self._accepted = self._records.labels("accepted")
        self._duplicate = self._records.labels("duplicate")
        self._dead = self._records.labels("dead_lettered")

    def ingested(self, result: Ingested) -> None:
        """Count one poll."""
        self._accepted.inc(result.counts.accepted)
        self._duplicate.inc(result.counts.duplicate)
        self._dead.inc(result.counts.dead_lettered)
        self._late.inc(result.late)

    def ticked(self, seconds: float) -> None:
        """Count one turn of the loop."""
        self._tick.observe(seconds)

    def fates(self, counts: Mapping[str, int]) -> None:
        """Show how many generations ended how."""
        self._fates.clear()
        for fate, count in counts.items():
            self._fates.labels(fate).set(count)

    def state(self, *, learner_up: bool, champion: str, pending: int, dropped: int) -> None:
        """Show the processes around the loop."""
        self._learner.set(learner_up)
        self._info.clear()
        if champion:
            self._info.labels(champion).set(1)
        self._mirror.labels("pending").set(pending)
        self._mirror.labels("dropped").set(dropped)
