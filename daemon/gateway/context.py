"""GatewayContext: the settings and the context that its handlers share."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from ...ops.flags.evaluator import FlagEvaluator
from ...streams.events.event import Event, GenerationEvent, encode_event
from ...streams.redaction.redactor import TextMemory
from ..callers.directory import Caller, ClientDirectory
from ..callers.specialists import topic_of
from ..engines.engine_pool import EnginePool
from ..engines.recent_latency import RecentLatency
from ..http.connections import ConnectionLimits
from ..spool.forwarder import Forwarder
from ..spool.left_spools import LeftSpools
from ..spool.spool import Kind, Spool
from ..telemetry.tracing import Tracing
from ..workers.worker import GatewayWorker
from .metrics import GatewayMetrics
from .policy_flags import PolicyFlags
from .settings import GatewaySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayContext:
    """What the handlers of one gateway share."""

    settings: GatewaySettings
    """Configuration."""
    policies: PolicyFlags
    """Assigns users to variants, of whichever policy owns their answers."""
    spool: Spool
    """Records that the log does not have yet."""
    forwarder: Forwarder
    """Carries the spool to the log."""
    left: LeftSpools
    """Likewise, what workers that are no more have left."""
    engine_pool: EnginePool
    """Replicas that answer, and which of them has which version."""
    clients: ClientDirectory
    """Who may call."""
    limits: ConnectionLimits
    """How many may call at once."""
    metrics: GatewayMetrics
    """Counters for Prometheus."""
    tracing: Tracing
    """Makes spans of what is traced."""
    keep_key: bytes
    """Signs what a client returns to keep its version."""
    worker: GatewayWorker | None = None
    """Which of several processes this is; None where it is alone."""
    seen_texts: TextMemory = field(default_factory=TextMemory)
    """What was found in texts that conversations send again and again."""
    latency: RecentLatency = field(default_factory=RecentLatency)
    """How long requests take now."""
    clock: Callable[[], float] = time.time
    """Epoch seconds."""

    @property
    def flags(self) -> FlagEvaluator:
        """The flags of the policy that is nobody's own."""
        return self.policies.parent

    def record(self, kind: Kind, key: str, name: str, event: Event, policy: str = "") -> None:
        """Put an event into the spool, for the topic of the policy that it is of: a generation's own, or
        `policy`. Raises OSError where the disk takes no more.
        """
        topic, variant = self.settings.feedback_topic, ""
        if isinstance(event, GenerationEvent):
            topic, variant, policy = (
                self.settings.generations_topic,
                event.data.variant,
                event.data.policy,
            )
        topic = topic_of(topic, policy or self.settings.policy, self.settings.policy)
        label = f"{topic}|{event.receivedtime:%Y-%m-%d}|{variant}"
        try:
            self.spool.append(kind, key, name, label, encode_event(event))
        except OSError:
            self.metrics.unspooled.inc()
            raise


CONTEXT: web.AppKey[GatewayContext] = web.AppKey("context", GatewayContext)
CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)


def at(seconds: float) -> datetime:
    """Return epoch seconds as a time with its zone."""
    return datetime.fromtimestamp(seconds, UTC)
