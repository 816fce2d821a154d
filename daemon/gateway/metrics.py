"""GatewayMetrics: what the gateway counts for Prometheus (docs/metrics.md)."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from ...ops.flags.evaluator import FlagEvaluator
from ..engines.recent_latency import RecentLatency
from ..http.connections import ConnectionLimits
from ..spool.forwarder import Forwarder
from ..spool.left_spools import LeftSpools
from ..status.host_metrics import show_host
from ..status.series import Labelled, Series, SeriesTable, Shown
from ..telemetry.tracing import Tracing
from ..workers.worker import GatewayWorker

_FAST = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

STARTS = "rlwd_gateway_worker_starts_total"

WATCHED = (
    Series(
        "rlwd_gateway_flag_generation",
        "Generation of the flags that are served; -1 before the first were read.",
    ),
    Series(
        "rlwd_gateway_flag_bad_reads_total",
        "Times that the flags could not be used; the last good ones are served on.",
    ),
    Series(
        "rlwd_gateway_recent_latency_seconds",
        "95th percentile of the requests of the last 10 seconds, to the last byte; none without any.",
    ),
    Series("rlwd_gateway_flag_problem", "1 while the flags cannot be used."),
    Series("rlwd_gateway_spool_bytes", "Bytes on disk of what the log does not have yet."),
    Series("rlwd_gateway_spool_limit_bytes", "Bytes from which on the oldest is dropped."),
    Series("rlwd_gateway_spool_unsent", "Records that the log does not have yet."),
    Series(
        "rlwd_gateway_spool_dropped_total",
        "Records that were lost in this life: a full spool dropped them, or the disk did not take them.",
    ),
    Series(
        "rlwd_gateway_spool_torn_segments_total",
        "Spool files whose end was cut off, as a crash of the host leaves them.",
    ),
    Series(
        "rlwd_gateway_lost_total",
        "Records that were lost in all lives of this gateway, as the audit counts them.",
    ),
    Series("rlwd_gateway_forwarded_total", "Records that the log has acknowledged."),
    Series(
        "rlwd_gateway_forward_failures_total",
        "Times that the log did not take what was sent; it is sent again.",
    ),
    Series("rlwd_gateway_connections", "Connections that are open."),
    Series(
        "rlwd_gateway_connections_refused_total",
        "Connections that were refused, because as many as may be were open.",
    ),
    Series(
        "rlwd_gateway_connections_too_slow_total",
        "Connections that were closed, because their request did not come in time.",
    ),
    Series(
        STARTS,
        "Times that this process was started in its parent's life; 1 where it has no parent.",
    ),
    Series("rlwd_gateway_log_away", "1 while the log does not take records."),
    Series(
        "rlwd_gateway_spans_total",
        "OpenTelemetry spans of this gateway, by whether a collector took them (docs/telemetry.md).",
        ("outcome",),
    ),
)
"""What the gateway shows of what others count."""


class Watched(Collector):
    """What others count, read when the page is asked for."""

    def __init__(self, read: Callable[[], Shown]) -> None:
        self.read, self.table = read, SeriesTable(WATCHED)

    def describe(self) -> Iterable[Metric]:
        """Name the series."""
        return self.table.describe()

    def collect(self) -> Iterable[Metric]:
        """Return the series of now."""
        self.table.show(self.read())
        return self.table.collect()


def starts_page(starts: int) -> bytes:
    """Return a page for a worker that answers nobody: how often it was started, for the parent knows that."""
    table, registry = (
        SeriesTable([one for one in WATCHED if one.name == STARTS]),
        CollectorRegistry(),
    )
    table.show({STARTS: starts})
    registry.register(table)
    return generate_latest(registry)


class GatewayMetrics:
    """One registry per gateway, so that several may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "Answered, by status.", "route", "status")
        self.generations = self._counter(
            "generations", "Assigned a variant, by variant and end.", "variant", "finish"
        )
        self.fallbacks = self._counter(
            "fallbacks", "Answered by another version than the flag named.", "variant"
        )
        self.kept = self._counter(
            "returned_versions",
            "Turns that returned X-Rlwd-Version, by what came of it: same, kept, expired, gone.",
            "outcome",
        )
        self.anonymous = self._counter("anonymous", "Requests without a user.")
        self.left_out = self._counter(
            "left_out", "Fields of requests that were not usable and were left out.", "field"
        )
        self.uncaptured = self._counter(
            "uncaptured", "Answers of which tokens or log-probabilities could not be captured."
        )
        self.capped = self._counter("capped", "Calls over a client's rate or cap.", "client")
        self.shadow = self._counter(
            "shadow",
            "Mirrored requests, by outcome: answered, or given up since too many were under way"
            " (busy), the engine had no room (no_room), people came (made_way), or it does not hold"
            " the version (not_loaded).",
            "outcome",
        )
        self.unspooled = self._counter("unspooled", "Records that the disk did not take.")
        self.feedback = self._counter("feedback", "Feedback, by status.", "status")
        self.before = Histogram(
            "rlwd_gateway_before_engine_seconds",
            "From a request's last byte to the engine's being asked.",
            buckets=_FAST,
            registry=self.registry,
        )
        self.latency = Histogram(
            "rlwd_gateway_latency_seconds",
            "From a request to the last byte of its answer.",
            ["variant"],
            buckets=_SLOW,
            registry=self.registry,
        )

    def _counter(self, name: str, said: str, *labels: str) -> Counter:
        return Counter(f"rlwd_gateway_{name}", said, labels, registry=self.registry)

    def watch(
        self,
        flags: FlagEvaluator,
        forwarder: Forwarder,
        left: LeftSpools,
        limits: ConnectionLimits,
        tracing: Tracing,
        worker: GatewayWorker | None,
        latency: RecentLatency,
    ) -> None:
        """Show what others count, and the disk that the spool is on."""

        def read() -> Shown:
            forwarders = [forwarder, *left.forwarders]
            spools = [one.spool for one in forwarders]
            p95 = latency.p95()
            values: dict[str, float | Labelled] = {
                "spans_total": tracing.counts(),
                "flag_generation": -1 if flags.state is None else flags.state.generation,
                "recent_latency_seconds": {} if p95 is None else p95,
                "flag_bad_reads_total": flags.bad_reads,
                "flag_problem": int(bool(flags.problem)),
                "spool_bytes": sum(one.size_bytes for one in spools),
                "spool_limit_bytes": sum(one.max_bytes for one in spools),
                "spool_unsent": sum(one.unsent for one in spools),
                "spool_dropped_total": sum(one.dropped for one in spools),
                "spool_torn_segments_total": sum(one.torn for one in spools),
                "lost_total": sum(one.tombstones.total() for one in spools),
                "forwarded_total": sum(one.sent for one in forwarders),
                "forward_failures_total": sum(one.failures for one in forwarders),
                "worker_starts_total": 1 if worker is None else worker.counts.starts(worker.number),
                "connections": limits.connected,
                "connections_refused_total": limits.refused,
                "connections_too_slow_total": limits.too_slow,
                "log_away": int(bool(forwarder.problem)),
            }
            return {f"rlwd_gateway_{name}": value for name, value in values.items()}

        self.registry.register(Watched(read))
        show_host(self.registry, {"spool": forwarder.spool.folder})

    def page(self) -> bytes:
        """Return the page that Prometheus reads."""
        return generate_latest(self.registry)
