"""EngineRoom: whether an engine has free capacity, by what it tells of itself."""

import re
import time
from typing import NamedTuple

import aiohttp

from .engine_pool import EnginePool

FRESH_SECONDS = 0.2
"""For so long an engine's numbers are believed."""
ASK_SECONDS = 2.0
"""An engine that tells its numbers no sooner has other things to do."""
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


class EngineRoom:
    """Asks engines for their load, at most a few times a second.

    The engine's own numbers count the requests of all gateways and of whoever else asks it; a
    gateway's own count would see its own part alone. An engine that tells none has no room.
    """

    def __init__(self, pool: EnginePool) -> None:
        self.pool = pool
        self._told: dict[str, tuple[float, EngineLoad | None]] = {}

    async def has_room(self, engine: str, *, beside: int, ours: int) -> bool:
        """Return whether nothing waits, and at most `beside` requests run besides `ours`."""
        load = await self._load(engine)
        return (
            load is not None
            and not load.waiting
            and load.cache <= FULLEST_CACHE
            and load.running - ours <= beside
        )

    async def _load(self, engine: str) -> EngineLoad | None:
        at, load = self._told.get(engine, (float("-inf"), None))
        if time.monotonic() - at < FRESH_SECONDS:
            return load
        try:
            timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
            async with self.pool.session.get(
                f"{engine}/metrics", headers=self.pool.headers, timeout=timeout
            ) as response:
                load = load_of(await response.read()) if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            load = None
        self._told[engine] = (time.monotonic(), load)
        return load


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
