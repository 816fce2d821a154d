"""Engine load: what an engine is doing, by the page that it has for Prometheus."""

import re
from typing import NamedTuple

FULLEST_CACHE = 0.8
"""Share of the KV cache from which on one request more may push another out (vLLM preempts)."""
_SERIES = re.compile(
    rb"^(?:vllm:num_|rlwd_engine_)requests_(waiting|running)(?:\{[^}\n]*\})? (\S+)"
    rb"|^vllm:(kv_cache)_usage_perc(?:\{[^}\n]*\})? (\S+)",
    re.MULTILINE,
)


class EngineLoad(NamedTuple):
    """What an engine does now."""

    waiting: float
    """Requests that wait for a place, of everybody's."""
    running: float
    """Requests that are being answered."""
    cache: float
    """Share of the KV cache that is in use."""

    def room(self, *, beside: int, ours: int) -> bool:
        """Return whether nothing waits, and at most `beside` requests run besides `ours`.

        >>> EngineLoad(waiting=0, running=3, cache=0.1).room(beside=2, ours=1)
        True
        """
        return not self.waiting and self.cache <= FULLEST_CACHE and self.running - ours <= beside


def load_of(page: bytes) -> EngineLoad | None:
    """Return the load that a page for Prometheus tells; None where it does not tell what waits.

    >>> load_of(b'vllm:num_requests_waiting{engine="0"} 2.0\\nvllm:num_requests_running{engine="0"} 3')
    EngineLoad(waiting=2.0, running=3.0, cache=0.0)
    """
    found: dict[bytes, float] = {}
    for name, value, cache, filled in _SERIES.findall(page):
        try:
            told = float(value or filled)
        except ValueError:
            return None
        key = name or cache
        # Several engines behind one page: what waits adds up, and the fullest cache is the limit.
        found[key] = max(found.get(key, 0.0), told) if cache else found.get(key, 0.0) + told
    if b"waiting" not in found or b"running" not in found:
        return None
    return EngineLoad(found[b"waiting"], found[b"running"], found.get(b"kv_cache", 0.0))
