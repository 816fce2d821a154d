"""Peers: how the workers of one gateway ask one another, each at a loopback port of its own.

A client reaches any one of them, and what it asks of the gateway is about all: whether it is ready, and
what it has counted. The ports are opened by the parent, so a worker that is started again has its old
one; who has not the parent's token gets nothing.
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import aiohttp
import structlog
from aiohttp import web

from ..http.credentials import bearer_token, same_token

log = structlog.get_logger()

ASK_SECONDS = 2.0
"""Longest wait for another worker's answer."""
LOOPBACK = "127.0.0.1"

Answer = Callable[[], Awaitable[bytes]]


class Peers:
    """The workers' doors to one another, by number from 1 on. Raises OSError where no port can be had."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = dict(enumerate(names, 1))
        """What each worker is called."""
        self._token = secrets.token_urlsafe(32)
        self._doors = {one: socket.create_server((LOOPBACK, 0)) for one in self.names}
        self._ports = {one: door.getsockname()[1] for one, door in self._doors.items()}

    def keep(self, worker: int) -> None:
        """Close, in a worker, the doors of the others: one of theirs that nobody answers is shut."""
        for number in [one for one in self._doors if one != worker]:
            self._doors.pop(number).close()

    @contextlib.asynccontextmanager
    async def answering(self, worker: int, answers: Mapping[str, Answer]) -> AsyncIterator[None]:
        """Answer the others while the block lasts, by path."""

        async def told(request: web.Request) -> web.Response:
            given = bearer_token(request.headers.get("Authorization", ""))
            if not same_token(given, self._token):
                return web.Response(status=401)
            return web.Response(body=await answers[request.path]())

        app = web.Application()
        app.router.add_routes([web.get(path, told) for path in answers])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.SockSite(runner, self._doors[worker]).start()
            yield
        finally:
            await runner.cleanup()

    async def ask(self, workers: Sequence[int], path: str) -> dict[int, bytes | None]:
        """Ask some of the others at the same time; None for who gives no answer."""
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        headers = {"Authorization": f"Bearer {self._token}"}
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            told = await asyncio.gather(*(self._ask(session, one, path) for one in workers))
        return dict(zip(workers, told, strict=True))

    async def _ask(self, session: aiohttp.ClientSession, worker: int, path: str) -> bytes | None:
        url = f"http://{LOOPBACK}:{self._ports[worker]}{path}"
        try:
            async with session.get(url) as response:
                return await response.read() if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            log.warning("worker_silent", worker=worker, problem=type(problem).__name__)
            return None
