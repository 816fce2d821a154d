"""OTLP: spans and log records out of OpenTelemetry's JSON, with attributes as plain values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .trace_reading import BEGINNING, listed, mapping, moment, text


@dataclass(slots=True, kw_only=True)
class OtlpRecord:
    """A span, an event of one, or a log record."""

    is_span: bool
    """Whether it is a span."""
    name: str
    """Of the span or the event."""
    trace: str
    """Trace id."""
    span: str
    """Span id; of an event the span that it is of."""
    at: datetime
    """Its beginning."""
    end: datetime | None = None
    """A span's end."""
    timed: bool = True
    """False where no time was told."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Attributes as plain values."""


def otlp_records(value: Mapping[str, Any]) -> Iterator[OtlpRecord]:
    """Yield what one document holds; raises ValueError where it is none of OpenTelemetry's."""
    if "resourceSpans" in value or "resourceLogs" in value:
        for resource in listed(value.get("resourceSpans")):
            for scope in listed(mapping(resource).get("scopeSpans")):
                for span in listed(mapping(scope).get("spans")):
                    yield from _span(mapping(span))
        for resource in listed(value.get("resourceLogs")):
            for scope in listed(mapping(resource).get("scopeLogs")):
                for one in listed(mapping(scope).get("logRecords")):
                    yield _log(mapping(one))
    elif "context" in value and "attributes" in value:
        yield from _printed(value)
    elif "spanId" in value:
        yield from _span(value)
    else:
        raise ValueError("$: holds neither resourceSpans nor resourceLogs, and is no span")


def _span(span: Mapping[str, Any]) -> Iterator[OtlpRecord]:
    at = moment(span.get("startTimeUnixNano"), "$.startTimeUnixNano")
    yield OtlpRecord(
        is_span=True,
        name=text(span.get("name")),
        trace=text(span.get("traceId")),
        span=text(span.get("spanId")),
        at=at or BEGINNING,
        timed=at is not None,
        end=moment(span.get("endTimeUnixNano"), "$.endTimeUnixNano"),
        attributes=attributes_of(span.get("attributes")),
    )
    for one in listed(span.get("events")):
        event = mapping(one)
        then = moment(event.get("timeUnixNano"), "$.events.timeUnixNano")
        yield OtlpRecord(
            is_span=False,
            name=text(event.get("name")),
            trace=text(span.get("traceId")),
            span=text(span.get("spanId")),
            at=then or at or BEGINNING,
            timed=then is not None,
            attributes=attributes_of(event.get("attributes")),
        )


def _log(one: Mapping[str, Any]) -> OtlpRecord:
    told = attributes_of(one.get("attributes"))
    at = moment(one.get("timeUnixNano") or one.get("observedTimeUnixNano"), "$.timeUnixNano")
    return OtlpRecord(
        is_span=False,
        name=text(one.get("eventName")) or text(told.get("event.name")),
        trace=text(one.get("traceId")),
        span=text(one.get("spanId")),
        at=at or BEGINNING,
        timed=at is not None,
        attributes=told,
    )


def _printed(span: Mapping[str, Any]) -> Iterator[OtlpRecord]:
    """Yield a span and its events as the SDKs' console exporter prints them."""
    context = mapping(span["context"])
    trace, id = (text(context.get(name)).removeprefix("0x") for name in ("trace_id", "span_id"))
    at = moment(span.get("start_time"), "$.start_time")
    told = dict(mapping(span["attributes"]))
    yield OtlpRecord(
        is_span=True,
        name=text(span.get("name")),
        trace=trace,
        span=id,
        at=at or BEGINNING,
        timed=at is not None,
        end=moment(span.get("end_time"), "$.end_time"),
        attributes=told,
    )
    for event in map(mapping, listed(span.get("events"))):
        then = moment(event.get("timestamp"), "$.events.timestamp")
        yield OtlpRecord(
            is_span=False,
            name=text(event.get("name")),
            trace=trace,
            span=id,
            at=then or at or BEGINNING,
            timed=then is not None,
            attributes=dict(mapping(event.get("attributes"))),
        )


def attributes_of(attributes: Any) -> dict[str, Any]:
    """Return OTLP's list of attributes as plain values."""
    found = {}
    for one in map(mapping, listed(attributes)):
        found[text(one.get("key"))] = _value(mapping(one.get("value")))
    return found


def _value(value: Mapping[str, Any]) -> Any:
    if isinstance(value.get("intValue"), str | int):
        return int(value["intValue"])
    if "arrayValue" in value:
        return [_value(mapping(one)) for one in listed(mapping(value["arrayValue"]).get("values"))]
    if "kvlistValue" in value:
        return attributes_of(mapping(value["kvlistValue"]).get("values"))
    return next(iter(value.values()), None)
