"""Open tracing: the SDK where a collector is named, else what makes no spans."""

from .telemetry_settings import TelemetrySettings
from .tracing import Tracing


def open_tracing(settings: TelemetrySettings, process: str, policy: str) -> Tracing:
    """Return what makes the spans of a process.

    Raises ValueError where a collector is named and the SDK is not installed.
    """
    if not settings.otlp_endpoint:
        return Tracing()
    try:
        from .sdk_tracing import SdkTracing
    except ModuleNotFoundError as missing:
        raise ValueError(
            f"telemetry.otlp_endpoint: {missing.name} is not installed: pip install 'rlwd[otel]'"
        ) from None
    return SdkTracing(settings, process, policy)
