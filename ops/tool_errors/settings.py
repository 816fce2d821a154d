"""Settings of the watch on tool errors."""

import msgspec


class ToolErrorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When failures of a tool are an anomaly."""

    unknown_bar: float = 0.02
    """Share of a tool's calls that may fail for a reason that nobody has classified. Above it the
    product has a fault, whatever it was like before."""
    least_calls: int = 50
    """Calls of a tool within the window from which on anything is said of it."""
    window_seconds: float = 3600.0
    """The time that is looked at, up to now."""
    baseline_days: float = 7.0
    """The time before the window that says how often a tool fails anyway, by version."""
