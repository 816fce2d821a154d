"""Kept connections: how long an idle one to an engine is kept."""

KEPT_SECONDS = 4.0
"""vLLM's server closes it after 5 s, while the next request may be on its way."""
