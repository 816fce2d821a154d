"""Upstream: an engine that came back empty refuses nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from rlwd.daemon.gateway.engine_pool import EngineAway, EnginePool
from rlwd.ops.flags.assignment import Assignment, ServedVersion, Variant

V1 = ServedVersion(version="policy@v000001-" + "a" * 8, digest="a" * 64)
V0 = ServedVersion(version="policy@v000000-" + "b" * 8, digest="b" * 64)
ASSIGNED = Assignment(
    variant=Variant.CHAMPION,
    served=V1,
    fallbacks=(V0,),
    salt="salt",
    bucket=1,
    generation=1,
    reason="STATIC",
)


class FakeEmptyEngine:
    """Says 404 until `filled_after` requests came, as vLLM does after a restart."""

    def __init__(self, filled_after: int) -> None:
        self.filled_after, self.asked = filled_after, list[str]()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((await request.json())["model"])
        return web.json_response({}, status=200 if len(self.asked) > self.filled_after else 404)


@asynccontextmanager
async def upstream_of(
    engine: FakeEmptyEngine, *, empty_seconds: float
) -> AsyncIterator[EnginePool]:
    app = web.Application()
    app.router.add_post("/v1/completions", engine.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        yield EnginePool(session, (f"http://127.0.0.1:{port}",), empty_seconds=empty_seconds)
    await runner.cleanup()


def test_a_request_waits_until_the_engine_is_filled() -> None:
    """The assigned version and v0 are both missing at first; the request is answered all the same."""

    async def go() -> None:
        engine = FakeEmptyEngine(filled_after=2)
        async with upstream_of(engine, empty_seconds=10.0) as upstream:
            answer = await upstream.ask("/v1/completions", {}, ASSIGNED, "session")
            assert (answer.served, answer.fallback) == (V1, False)
            answer.response.release()
        assert engine.asked == [V1.version, V0.version, V1.version]

    asyncio.run(go())


def test_an_engine_that_stays_empty_is_named() -> None:
    """After a while it is an error that says what the engine has not."""

    async def go() -> None:
        async with upstream_of(FakeEmptyEngine(filled_after=10**9), empty_seconds=0.0) as upstream:
            with pytest.raises(EngineAway, match=V1.version):
                await upstream.ask("/v1/completions", {}, ASSIGNED, "session")

    asyncio.run(go())
