"""Connections at the end of a server: who has just connected may still ask."""

import asyncio
import socket

import pytest
from aiohttp import web

from rlwd.daemon.http import connections
from rlwd.daemon.http.connections import ConnectionLimits, LimitedRunner

LOOPBACK = "127.0.0.1"


async def answered_late(limits: ConnectionLimits) -> tuple[bytes, bool]:
    """Connect, have the server stop, and ask only then; return the answer, and whether it still listens."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", page)
    runner = LimitedRunner(app, limits, idle_seconds=30.0)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    port = runner.addresses[0][1]
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    while limits.unasked < 1:
        await asyncio.sleep(0.01)
    stopping = asyncio.create_task(runner.stop_listening())
    await asyncio.sleep(0.05)
    with socket.socket() as one:
        listens = one.connect_ex((LOOPBACK, port)) == 0
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await stopping
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    await runner.cleanup()
    return answer, listens


def test_who_has_just_connected_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose request comes after the server stopped listening is answered all the same."""
    monkeypatch.setattr(connections, "FIRST_REQUEST_SECONDS", 60.0)
    limits = ConnectionLimits(8, 120.0)
    answer, listens = asyncio.run(answered_late(limits))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"here")
    assert not listens
    assert (limits.unasked, limits.connected) == (0, 0)


def test_who_never_asks_does_not_hold_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a request is closed once its moment is over."""
    monkeypatch.setattr(connections, "FIRST_REQUEST_SECONDS", 0.1)

    async def closed() -> bytes:
        runner = LimitedRunner(web.Application(), ConnectionLimits(8, 120.0), idle_seconds=30.0)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        while runner.limits.unasked < 1:
            await asyncio.sleep(0.01)
        await runner.stop_listening()
        assert await asyncio.wait_for(runner.let_end(3600.0, asyncio.Event()), 30.0) == 0
        await runner.cleanup()
        told = await reader.read()
        writer.close()
        await writer.wait_closed()
        return told

    assert asyncio.run(closed()) == b""


def test_blank_lines_are_no_request() -> None:
    """Who begins with them and asks nothing is closed as too slow, and holds no place for ever."""

    async def told() -> bytes:
        limits = ConnectionLimits(8, 0.3)
        runner = LimitedRunner(web.Application(), limits, idle_seconds=30.0)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(b"\r\n\r\n")
        found = await asyncio.wait_for(reader.read(), 30.0)
        assert (limits.too_slow, limits.unasked) == (1, 0)
        writer.close()
        await writer.wait_closed()
        await runner.cleanup()
        return found

    assert asyncio.run(told()) == b""


def test_a_body_that_comes_while_the_server_ends_is_read() -> None:
    """The headers came before, the body after: it is answered, and then its connection is closed."""

    async def told() -> bytes:
        async def page(request: web.Request) -> web.Response:
            return web.Response(text=f"{len(await request.read())} bytes")

        app = web.Application()
        app.router.add_post("/", page)
        limits = ConnectionLimits(10, 10.0)
        runner = LimitedRunner(app, limits, idle_seconds=30.0)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0).start()
        reader, writer = await asyncio.open_connection(LOOPBACK, runner.addresses[0][1])
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf")
        while not limits.answering:
            await asyncio.sleep(0.01)
        await runner.stop_listening()
        ending = asyncio.create_task(runner.let_end(60.0, asyncio.Event()))
        await asyncio.sleep(0.1)
        writer.write(b"half")
        answer = await asyncio.wait_for(reader.read(), 30.0)
        assert await ending == 0
        writer.close()
        await writer.wait_closed()
        await runner.cleanup()
        return answer

    assert asyncio.run(told()).endswith(b"8 bytes")


def test_who_only_begins_to_ask_does_not_hold_the_end_up() -> None:
    """One that was answered, and sends its next request byte by byte, is closed; the server ends."""

    async def left() -> int:
        async def page(_: web.Request) -> web.Response:
            return web.Response(text="here")

        app = web.Application()
        app.router.add_get("/", page)
        runner = LimitedRunner(app, ConnectionLimits(10, 10.0), idle_seconds=600.0)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0).start()
        reader, writer = await asyncio.open_connection(LOOPBACK, runner.addresses[0][1])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"here")

        async def trickle() -> None:
            writer.write(b"GET / HTTP/1.1\r\nX-Long: ")
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.015)  # Its headers are too long after two minutes.

        trickling = asyncio.create_task(trickle())
        await runner.stop_listening()
        found = await asyncio.wait_for(runner.let_end(3600.0, asyncio.Event()), 60.0)
        trickling.cancel()
        writer.close()
        await asyncio.gather(trickling, writer.wait_closed(), return_exceptions=True)
        await runner.cleanup()
        return found

    assert asyncio.run(left()) == 0
