"""GatewayContext: the settings and the context that its handlers share."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from aiohttp import web

from ...ops.flags.evaluator import FlagEvaluator
from ...streams.events.event import Event, GenerationEvent, encode_event
from ..spool.forwarder import Forwarder
from ..spool.spool import Kind, Spool
from .engine_pool import EnginePool
from .metrics import GatewayMetrics
from .settings import GatewaySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayContext:
    """What the handlers of one gateway share."""

    settings: GatewaySettings
    """Configuration."""
    flags: FlagEvaluator
    """Assigns users to variants."""
    spool: Spool
    """Records that the log does not have yet."""
    forwarder: Forwarder
    """Carries the spool to the log."""
    engine_pool: EnginePool
    """The engines."""
    metrics: GatewayMetrics
    """Counters for Prometheus."""
    clock: Callable[[], float] = time.time
    """Epoch seconds."""

    def record(self, kind: Kind, key: str, name: str, event: Event) -> None:
        """Put an event into the spool. Raises OSError where the disk takes no more."""
        generation = isinstance(event, GenerationEvent)
        topic = self.settings.generations_topic if generation else self.settings.feedback_topic
        variant = event.data.variant if isinstance(event, GenerationEvent) else ""
        label = f"{topic}|{event.receivedtime:%Y-%m-%d}|{variant}"
        try:
            self.spool.append(kind, key, name, label, encode_event(event))
        except OSError:
            self.metrics.unspooled.inc()
            raise


CONTEXT: web.AppKey[GatewayContext] = web.AppKey("context", GatewayContext)


def at(seconds: float) -> datetime:
    """Return epoch seconds as a time with its zone."""
    return datetime.fromtimestamp(seconds, UTC)


def refusal(status: int, message: str, kind: str = "invalid_request_error") -> web.Response:
    """Return an error in the shape that OpenAI's clients know."""
    return web.Response(status=status, body=error_body(status, message, kind), content_type=JSON)


def error_body(status: int, message: str, kind: str) -> bytes:
    """Return the JSON of such an error."""
    return orjson.dumps(
        {"error": {"message": message, "type": kind, "param": None, "code": status}}
    )


JSON = "application/json"
