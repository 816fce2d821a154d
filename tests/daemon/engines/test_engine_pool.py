"""Upstream: an engine that came back empty refuses nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from rlwd.daemon.engines.engine_pool import EngineAway, EnginePool
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


class FakeReplica(FakeEmptyEngine):
    """Has these versions and no other."""

    def __init__(self, *held: ServedVersion) -> None:
        super().__init__(filled_after=0)
        self.held = {one.version for one in held}

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((await request.json())["model"])
        return web.json_response({}, status=200 if self.asked[-1] in self.held else 404)


@asynccontextmanager
async def upstream_of(*engines: FakeEmptyEngine, empty_seconds: float) -> AsyncIterator[EnginePool]:
    urls = []
    async with AsyncExitStack() as stack:
        for engine in engines:
            app = web.Application()
            app.router.add_post("/v1/completions", engine.answer)
            runner = web.AppRunner(app)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield EnginePool(session, tuple(urls), empty_seconds=empty_seconds)


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


def test_another_replica_that_has_the_version_is_asked_before_any_fallback() -> None:
    """One that has only v0 yet does not answer in its place, whichever session asks."""

    async def go() -> None:
        filling, whole = FakeReplica(V0), FakeReplica(V0, V1)
        async with upstream_of(filling, whole, empty_seconds=0.0) as upstream:
            for session in range(8):
                answer = await upstream.ask("/v1/completions", {}, ASSIGNED, f"s{session}")
                assert (answer.served, answer.fallback) == (V1, False)
                assert answer.engine == upstream.engines[1]
                answer.response.release()
        assert filling.asked, "some of them are its own"
        assert set(whole.asked) == {V1.version}

    asyncio.run(go())


def test_a_fallback_is_taken_where_no_replica_has_the_version() -> None:
    """Each was asked for the version itself once, and then one for what comes next."""

    async def go() -> None:
        first, second = FakeReplica(V0), FakeReplica(V0)
        async with upstream_of(first, second, empty_seconds=0.0) as upstream:
            answer = await upstream.ask("/v1/completions", {}, ASSIGNED, "session")
            assert (answer.served, answer.fallback) == (V0, True)
            answer.response.release()
        assert sorted(first.asked + second.asked) == sorted([V1.version] * 2 + [V0.version])

    asyncio.run(go())
