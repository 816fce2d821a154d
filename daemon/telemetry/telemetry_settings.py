"""TelemetrySettings: `[telemetry]` of the configuration, which traces are written and where to."""

from typing import Annotated

import msgspec


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OpenTelemetry traces, off by default."""

    otlp_endpoint: str = ""
    """Where they are sent by OTLP over HTTP, such as http://127.0.0.1:4318 (`/v1/traces` is added);
    empty: nowhere. It needs the extra `otel`. OTEL_EXPORTER_OTLP_HEADERS may hold a key."""
    share: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 1.0
    """Share of answers that are traced; of a request with a W3C `traceparent` the caller decides."""
    queue: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 4096
    """Most spans that wait to be sent; more are dropped and counted."""
