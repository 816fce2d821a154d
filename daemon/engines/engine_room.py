"""EngineRoom: whether an engine has free capacity, by what it tells of itself."""

import time

import aiohttp

from ...ops.engine.engine_load import EngineLoad, load_of
from .engine_pool import EnginePool

FRESH_SECONDS = 0.2
"""For so long an engine's numbers are believed."""
ASK_SECONDS = 2.0
"""An engine that tells its numbers no sooner has other things to do."""


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
        return load is not None and load.room(beside=beside, ours=ours)

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
