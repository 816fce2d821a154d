"""Metrics: what the daemon shows to Prometheus.

Bounded labels only: a policy version stands on the info gauge and on nothing else.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from ...streams.join.offsets import Counts
from .log_lines import LogLines
from .reading_metrics import ReadingCounters

Weighed = Mapping[str, tuple[int, int]]


class TableCounters(Collector):
    """Counters whose values are those of the tables, and so the same after a restart.

    Daemons that share a database show the same counts: take the greatest and not the sum.
    """

    def __init__(self) -> None:
        self._seen: tuple[Counts, int, Weighed] | None = None

    def show(self, records: Counts, late: int, weighed: Weighed) -> None:
        """Take the counts of now."""
        self._seen = records, late, weighed

    def describe(self) -> Iterable[Metric]:
        """Name the series, which have no values before the first count."""
        return self._families(None)

    def collect(self) -> Iterable[Metric]:
        """Return the series as last counted."""
        return self._families(self._seen)

    def _families(self, seen: tuple[Counts, int, Weighed] | None) -> list[Metric]:
        records = CounterMetricFamily(
            "rlwd_records", "Records delivered, by what became of them", labels=["outcome"]
        )
        late = CounterMetricFamily(
            "rlwd_late_feedback", "Feedback that came after its episode was sealed or closed"
        )
        weighed = CounterMetricFamily(
            "rlwd_weighed",
            "Sealed answers whose weight a factor changed, and those that it made less (docs/trust.md)",
            labels=["factor", "which"],
        )
        if seen is not None:
            for factor, (changed, less) in seen[2].items():
                weighed.add_metric([factor, "changed"], changed)
                weighed.add_metric([factor, "down"], less)
            for outcome in ("accepted", "duplicate", "dead_lettered"):
                records.add_metric([outcome], getattr(seen[0], outcome))
            late.add_metric([], seen[1])
        return [records, late, weighed]


class Metrics:
    """The daemon's series, `rlwd_` first, base units, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._tables = TableCounters()
        self.registry.register(self._tables)
        self.registry.register(LogLines())
        self.readings = ReadingCounters()
        self.registry.register(self.readings)
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
        self._generation = Gauge(
            "rlwd_flag_generation",
            "Generation of the flags that was decided last",
            registry=self.registry,
        )
        self._gateways = Gauge(
            "rlwd_gateways",
            "Gateways heard of in the last minute, by whether they act on that generation yet",
            ["acting_on"],
            registry=self.registry,
        )
        self._sessions = Gauge(
            "rlwd_sessions",
            "Conversations of the last day, all and those whose version changed under them",
            ["which"],
            registry=self.registry,
        )
        self._info = Gauge(
            "rlwd_champion_info", "1 for the version served", ["version"], registry=self.registry
        )
        self._problems = Gauge(
            "rlwd_problem", "1 for what is not as it should be", ["name"], registry=self.registry
        )
        self._mirror = Gauge(
            "rlwd_mlflow",
            "What waits for MLflow and what was dropped",
            ["what"],
            registry=self.registry,
        )

    def counted(self, records: Counts, late: int, weighed: Weighed) -> None:
        """Show what the tables count, of all time: a restart resets nothing.

        `weighed` are, by factor, sealed answers that it changed and those that it weighed down.
        """
        self._tables.show(records, late, weighed)

    def ticked(self, seconds: float) -> None:
        """Count one turn of the loop."""
        self._tick.observe(seconds)

    def fates(self, counts: Mapping[str, int]) -> None:
        """Show how many generations ended how."""
        self._fates.clear()
        for fate, count in counts.items():
            self._fates.labels(fate).set(count)

    def conversations(self, seen: int, switched: int) -> None:
        """Show how many conversations there were, and how many were moved."""
        self._sessions.labels("all").set(seen)
        self._sessions.labels("switched").set(switched)

    def reached(self, generation: int, gateways: int, behind: int) -> None:
        """Show how far the newest flags have come."""
        self._generation.set(generation)
        self._gateways.labels("newest").set(gateways - behind)
        self._gateways.labels("older").set(behind)

    def problems(self, named: Iterable[str]) -> None:
        """Show what is not as it should be, by the names that /readyz has."""
        self._problems.clear()
        for name in named:
            self._problems.labels(name).set(1)

    def traces(self, waiting: int, written: int, deleted: int, dropped: int) -> None:
        """Show answers on their way to MLflow as traces."""
        known = {"waiting": waiting, "written": written, "deleted": deleted, "dropped": dropped}
        for what, count in known.items():
            self._mirror.labels(f"traces_{what}").set(count)

    def state(self, *, learner_up: bool, champion: str, pending: int, dropped: int) -> None:
        """Show the processes around the loop."""
        self._learner.set(learner_up)
        self._info.clear()
        if champion:
            self._info.labels(champion).set(1)
        self._mirror.labels("pending").set(pending)
        self._mirror.labels("dropped").set(dropped)
