"""SdkTracing: spans by OpenTelemetry's SDK; imported only where a collector is named."""

import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    format_span_id,
    format_trace_id,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ...streams.events.generation import Generation
from .span_queue import SpanQueue
from .telemetry_settings import TelemetrySettings
from .tracing import UNTRACED, AnswerSpan, Tracing, held_out

if TYPE_CHECKING:
    from ...learner.sealed import SealedBatch

EXPORT_SECONDS = 10.0
"""Longest time for one message, its repetitions in it."""
_PROPAGATOR = TraceContextTextMapPropagator()


class SdkAnswerSpan:
    """The span of one traced answer."""

    def __init__(self, span: Span, received: float) -> None:
        context = span.get_span_context()
        self.traceparent = (
            f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-01"
        )
        self._span, self._received = span, received

    def end(self, generation: Generation, seconds: float) -> None:
        """End it with what is known of the answer."""
        self._span.set_attributes(
            {
                "gen_ai.response.model": generation.version,
                "gen_ai.response.finish_reasons": [generation.finish_reason],
                "gen_ai.usage.input_tokens": generation.usage.prompt_tokens,
                "gen_ai.usage.output_tokens": generation.usage.completion_tokens,
                "http.response.status_code": generation.status,
                "rlwd.variant": generation.variant,
                "rlwd.flag_generation": generation.flag_generation,
                "rlwd.fallback": generation.fallback,
            }
        )
        if generation.status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(_nanoseconds(self._received + seconds))


class SdkTracing(Tracing):
    """Makes spans and sends them from a thread of its own."""

    def __init__(self, settings: TelemetrySettings, process: str, policy: str) -> None:
        # Its words on each attempt; that the collector is away is said once (`otlp_away`).
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        exporter = OTLPSpanExporter(
            endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS
        )
        self.queue = SpanQueue(exporter, settings.queue)
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.share)),
            resource=Resource.create(
                {
                    "service.name": f"rlwd-{process}",
                    "service.version": _installed_version(),
                    "rlwd.policy": policy,
                }
            ),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self.queue)
        self._tracer = provider.get_tracer("rlwd")

    def answer(self, traceparent: str, generation_id: str, received: float) -> AnswerSpan:
        """Begin an answer's span, under the caller's where there is one."""
        span = self._tracer.start_span(
            "chat",
            context=_parent(traceparent),
            kind=SpanKind.SERVER,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "rlwd",
                "gen_ai.response.id": generation_id,
                "rlwd.generation_id": generation_id,
            },
            start_time=_nanoseconds(received),
        )
        return SdkAnswerSpan(span, received) if span.is_recording() else UNTRACED

    def joined(self, taken: Iterable[tuple[Generation, float]], now: float) -> None:
        """Make a span of each traced generation that was taken in."""
        for generation, received in taken:
            if generation.traceparent:
                self._span(
                    "join",
                    generation.traceparent,
                    received,
                    now,
                    {
                        "rlwd.generation_id": generation.generation_id,
                        "rlwd.variant": generation.variant,
                        "rlwd.version": generation.version,
                    },
                )

    def sealed(self, batch: "SealedBatch", now: float) -> None:
        """Make a span of each traced episode of a batch."""
        for one, kept_out in held_out(batch):
            if one.traceparent:
                self._span(
                    "batch",
                    one.traceparent,
                    now,
                    now,
                    {
                        "rlwd.generation_id": one.generation_id,
                        "rlwd.batch_id": batch.batch_id,
                        "rlwd.version": one.version,
                        "rlwd.reward": one.reward,
                        "rlwd.weight": one.weight,
                        "rlwd.held_out": kept_out,
                    },
                )

    def _span(
        self,
        name: str,
        traceparent: str,
        began: float,
        ended: float,
        attributes: Mapping[str, str | int | float | bool],
    ) -> None:
        parent = _parent(traceparent)
        if not get_current_span(parent).get_span_context().is_valid:
            return  # A product that writes the topics itself may say anything there.
        span = self._tracer.start_span(
            name,
            context=parent,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            start_time=_nanoseconds(min(began, ended)),
        )
        span.end(_nanoseconds(ended))

    def counts(self) -> Mapping[str, int]:
        """Return spans sent and dropped."""
        return {"sent": self.queue.sent, "dropped": self.queue.dropped}

    def close(self, seconds: float) -> None:
        """Send what waits, for so long at most."""
        self.queue.stop(seconds)


def _parent(traceparent: str) -> Context:
    """Return the caller's trace; an empty context, a trace of its own, for a header that is none."""
    return _PROPAGATOR.extract({"traceparent": traceparent}, context=Context())


def _nanoseconds(seconds: float) -> int:
    # A record without a time of its own has one before 1970, which no message can hold.
    return max(0, int(seconds * 1e9))


def _installed_version() -> str:
    try:
        return version("rlwd")
    except PackageNotFoundError:
        return ""
