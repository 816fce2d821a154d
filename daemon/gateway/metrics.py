"""GatewayMetrics: what the gateway counts for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ...ops.flags.evaluator import FlagEvaluator
from ..http.connections import ConnectionLimits
from ..spool.forwarder import Forwarder
from ..spool.spool import Spool
from ..status.log_lines import LogLines

_FAST = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

WATCHED = {
    "flag_generation": "Generation of the flag file that is served; -1 before the first was read.",
    "flag_bad_reads": "Times that the flag file could not be used; the last good one is served on.",
    "flag_problem": "1 while the flag file cannot be used.",
    "spool_bytes": "Bytes on disk of what the log does not have yet.",
    "spool_unsent": "Records that the log does not have yet.",
    "spool_dropped": "Records that a full spool dropped before the log had them.",
    "spool_torn_segments": "Spool files whose end was cut off, as a crash of the host leaves them.",
    "lost_at_gateway": "Generations and feedback among what was dropped; the audit counts them.",
    "forwarded": "Records that the log has acknowledged.",
    "forward_failures": "Times that the log did not take what was sent; it is sent again.",
    "connections": "Connections that are open.",
    "connections_refused": "Connections that were refused, because as many as may be were open.",
    "connections_too_slow": "Connections that were closed, because their request did not come in time.",
    "log_away": "1 while the log does not take records.",
}
"""What the gateway shows of what others count, by the end of the metric's name."""


class GatewayMetrics:
    """One registry per gateway, so that several may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(LogLines())
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
        self, flags: FlagEvaluator, spool: Spool, forwarder: Forwarder, limits: ConnectionLimits
    ) -> None:
        """Show what others count."""
        gauges = {
            "flag_generation": lambda: -1 if flags.state is None else flags.state.generation,
            "flag_bad_reads": lambda: flags.bad_reads,
            "flag_problem": lambda: bool(flags.problem),
            "spool_bytes": lambda: spool.size_bytes,
            "spool_unsent": lambda: spool.unsent,
            "spool_dropped": lambda: spool.dropped,
            "spool_torn_segments": lambda: spool.torn,
            "lost_at_gateway": lambda: spool.tombstones.total(),
            "forwarded": lambda: forwarder.sent,
            "forward_failures": lambda: forwarder.failures,
            "connections": lambda: limits.connected,
            "connections_refused": lambda: limits.refused,
            "connections_too_slow": lambda: limits.too_slow,
            "log_away": lambda: bool(forwarder.problem),
        }
        for name, value in gauges.items():
            gauge = Gauge(f"rlwd_gateway_{name}", WATCHED[name], registry=self.registry)
            gauge.set_function(value)

    def page(self) -> bytes:
        """Return the page that Prometheus reads."""
        return generate_latest(self.registry)
