"""EnginePool: the engines behind the gateway, and which weights they are asked for."""

import asyncio
import time
import zlib
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from ...ops.engine.kept_connections import KEPT_SECONDS
from ...ops.flags.assignment import Assignment, ServedVersion
from ...streams.authorities import authorities

EMPTY_RETRY_SECONDS = 0.25


LINGER_SECONDS = 1.0


class EngineAway(ConnectionError):
    """No engine took the request, or none has any version that may serve it.

    `public` is what a caller may know: no host and no port.
    """

    def __init__(self, message: str, public: str = "") -> None:
        super().__init__(message)
        self.public = public or message


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineResponse:
    """An engine's response, its body not read yet."""

    response: aiohttp.ClientResponse
    """Status and stream."""
    served: ServedVersion
    """The version that answers."""
    fallback: bool
    """True where it is not the one that the flag named."""
    engine: str
    """Which replica."""


class EnginePool:
    """Asks engines over kept-alive connections.

    A session keeps to one replica, where its prefix cache is; a replica that takes no connection, or
    has not the version, is passed over: one that restarted has none until each is proven. Only our own headers go up: vLLM obeys some that clients must not set.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        engines: tuple[str, ...],
        token: str = "",
        empty_seconds: float = 15.0,
    ) -> None:
        self.session, self.empty_seconds = session, empty_seconds
        self.engines = tuple(url.rstrip("/") for url in engines)
        self.headers = {"Content-Type": "application/json"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        self._seen = (float("-inf"), False)
        self._lingering: set[asyncio.Task[None]] = set()

    async def ask(
        self, path: str, body: dict[str, Any], assignment: Assignment, key: str
    ) -> EngineResponse:
        """Ask for the assigned version; where no replica has it, for its fallbacks.

        An only engine that came back empty has none of them for a moment: the request waits for the
        daemon to fill it, because nobody is refused for that. Raises EngineAway.
        """
        deadline = time.monotonic() + self.empty_seconds
        while (answer := await self._ask_once(path, body, assignment, key)) is None:
            if time.monotonic() > deadline:
                raise EngineAway(
                    f"the engine serves neither {assignment.served.version} nor its fallbacks"
                    f" {[v.version for v in assignment.fallbacks]}"
                )
            await asyncio.sleep(EMPTY_RETRY_SECONDS)
        return answer

    async def count(self, chat: dict[str, Any], assignment: Assignment) -> int | str | None:
        """Return how many tokens a chat is read as; or why the engine refuses it.

        None where no engine has `/tokenize`. Raises EngineAway, aiohttp's errors, TimeoutError, and
        ValueError where the engine says something else.
        """
        answer = await self._ask_once("/tokenize", chat, assignment, "")
        if answer is None:
            return None
        async with answer.response as response:
            told = orjson.loads(await response.read())
        told = told if isinstance(told, dict) else {}
        if 400 <= response.status < 500:
            error = told.get("error")
            message = error.get("message") if isinstance(error, dict) else None
            said = str(message or "the engine refuses it")
            return said.replace(answer.served.version, "the model")
        count = told.get("count") if response.status == 200 else None
        if type(count) is not int:
            raise ValueError(f"the engine told no count, and status {response.status}")
        return count

    async def _ask_once(
        self, path: str, body: dict[str, Any], assignment: Assignment, key: str
    ) -> EngineResponse | None:
        for served in (assignment.served, *assignment.fallbacks):
            raw = orjson.dumps({**body, "model": served.version})
            if (answered := await self._post(path, raw, key)) is not None:
                engine, response = answered
                return EngineResponse(
                    response=response,
                    served=served,
                    fallback=served is not assignment.served,
                    engine=engine,
                )
        return None

    async def _post(
        self, path: str, raw: bytes, key: str
    ) -> tuple[str, aiohttp.ClientResponse] | None:
        """Return the first replica that has what is asked for, and its answer; None where none has.

        Raises EngineAway where none takes a connection.
        """
        first = zlib.crc32(key.encode()) % len(self.engines)
        order = self.engines[first:] + self.engines[:first]
        problem: Exception | None = None
        lacking = set[str]()
        # The first once more: a kept-alive connection may have been closed under us, and vLLM
        # closes them after errors; a new one then works.
        for engine in (order[0], *order):
            if engine in lacking:
                continue
            try:
                response = await self.session.post(
                    engine + path, data=raw, headers=self.headers, allow_redirects=False
                )
            except aiohttp.ClientConnectionError as failure:
                problem = failure
                continue
            if response.status != 404:
                return engine, response
            lacking.add(engine)
            response.release()
        if lacking:
            return None
        raise EngineAway(f"no engine answers: {problem}", "no engine answers") from problem

    def let_go(self, response: aiohttp.ClientResponse) -> None:
        """Give up a response that said all: its connection is kept if it ends in a moment."""
        if response.content.at_eof():
            response.release()
            return
        task = asyncio.create_task(self._linger(response))
        self._lingering.add(task)
        task.add_done_callback(self._lingering.discard)

    async def _linger(self, response: aiohttp.ClientResponse) -> None:
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while await response.content.readany():
                    pass
        except (aiohttp.ClientError, TimeoutError):
            pass
        finally:
            # Kept where it ended, closed where it did not.
            response.close()

    async def close(self) -> None:
        """Let go of all connections."""
        lingering = list(self._lingering)
        for task in lingering:
            task.cancel()
        await asyncio.gather(*lingering, return_exceptions=True)
        await self.session.close()

    async def alive(self, now: float) -> bool:
        """Return whether any engine is healthy; asked at most once a second."""
        if now - self._seen[0] > 1.0:
            self._seen = (now, any([await self._healthy(engine) for engine in self.engines]))
        return self._seen[1]

    async def _healthy(self, engine: str) -> bool:
        timeout = aiohttp.ClientTimeout(total=2.0)
        try:
            async with self.session.get(engine + "/health", timeout=timeout) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def open_session(request_seconds: float) -> aiohttp.ClientSession:
    """Return a client session for engines: unlimited kept-alive connections, no cookies."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, keepalive_timeout=KEPT_SECONDS, ttl_dns_cache=60, ssl=authorities()
        ),
        timeout=aiohttp.ClientTimeout(total=request_seconds, sock_connect=5.0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=True,
    )
