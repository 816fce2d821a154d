"""GatewayMetrics: what the gateway counts for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ...ops.flags.evaluator import FlagEvaluator
from ..spool.forwarder import Forwarder
from ..spool.spool import Spool

_FAST = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class GatewayMetrics:
    """One registry per gateway, so that several may live in one process."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "rlwd_gateway_requests", "Answered, by status.", ["route", "status"], registry=registry
        )
        self.generations = Counter(
            "rlwd_gateway_generations",
            "Served, by variant and end.",
            ["variant", "finish"],
            registry=registry,
        )
        self.fallbacks = Counter(
            "rlwd_gateway_fallbacks",
            "Answered by another version than the flag named.",
            ["variant"],
            registry=registry,
        )
        self.anonymous = Counter(
            "rlwd_gateway_anonymous", "Requests without a user.", registry=registry
        )
        self.unspooled = Counter(
            "rlwd_gateway_unspooled", "Records that the disk did not take.", registry=registry
        )
        self.feedback = Counter(
            "rlwd_gateway_feedback", "Feedback, by status.", ["status"], registry=registry
        )
        self.before = Histogram(
            "rlwd_gateway_before_engine_seconds",
            "From a request's last byte to the engine's being asked.",
            buckets=_FAST,
            registry=registry,
        )
        self.latency = Histogram(
            "rlwd_gateway_latency_seconds",
            "From a request to the last byte of its answer.",
            ["variant"],
            buckets=_SLOW,
            registry=registry,
        )

    def watch(self, flags: FlagEvaluator, spool: Spool, forwarder: Forwarder) -> None:
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
            "log_away": lambda: bool(forwarder.problem),
        }
        for name, value in gauges.items():
            gauge = Gauge(
                f"rlwd_gateway_{name}", name.replace("_", " ") + ".", registry=self.registry
            )
            gauge.set_function(value)

    def page(self) -> bytes:
        """Return the page that Prometheus reads."""
        return generate_latest(self.registry)
