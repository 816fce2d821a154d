"""Connections: limits on how many there are and how slowly they ask, and logs without secrets."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

log = structlog.get_logger()

MOST_HEADER_BYTES = 65_536
TURNS_TO_CONNECT = 4
"""Turns of the event loop after which what was accepted has been connected, and what was closed is."""
FIRST_REQUEST_SECONDS = 1.0
"""Longest wait, at the end, for the request of a client that has just connected."""


class QuietLogger:
    """Takes what aiohttp would log of a request; a malformed one is logged without its bytes.

    They may hold a bearer token.
    """

    def exception(self, _message: str, *_arguments: Any, exc_info: Any = None, **_: Any) -> None:
        """Log an error while a request was handled, by its kind alone."""
        error = exc_info if isinstance(exc_info, BaseException) else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            log.info("malformed_request", kind=type(error).__name__)
        else:
            log.error("request_failed", kind=type(error).__name__, exc_info=error)

    def debug(self, *_arguments: Any, **_: Any) -> None:
        """Keep still."""


class LimitedConnection(asyncio.Protocol):
    """A connection that is closed where its first request's headers do not come in time."""

    def __init__(self, inner: asyncio.Protocol, limits: "ConnectionLimits") -> None:
        self.inner, self.limits = inner, limits
        self._begun = b""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._counted = False
        self.heard = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; over the limit it is closed at once."""
        if not self.limits.take():
            self.limits.refused += 1
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
            return
        self.limits.live.add(self)
        self._counted, self._transport = True, transport
        loop = asyncio.get_running_loop()
        self.limits.unasked += 1
        self._timer = loop.call_later(self.limits.header_seconds, self._too_slow)
        self.inner.connection_made(transport)

    def _too_slow(self) -> None:
        self.limits.too_slow += 1
        if self._transport is not None:
            self._transport.close()

    def _asked(self) -> None:
        """End the wait for the first request."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._begun = None, b""
            self.limits.unasked -= 1

    def close_between_requests(self, *, patient: bool) -> None:
        """Close where no request is being answered; `patient`, only where one was, and no other has begun to
        come since last asked.
        """
        transport, comes = self._transport, self.heard or self._timer is not None
        self.heard = False
        if comes and patient:
            return
        if transport is not None and transport not in self.limits.answering:
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on; the timer ends with the first request's headers."""
        self.heard = True
        if self._timer is not None:
            # Blank lines before a request are none of it.
            begun = self._begun + data if self._begun else data.lstrip(b"\r\n")
            self._begun = begun[-MOST_HEADER_BYTES:]
            if b"\r\n\r\n" in self._begun or b"\n\n" in self._begun:
                self._asked()
        if self._counted:
            self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on that the client sends no more."""
        return self.inner.eof_received() if self._counted else None

    def connection_lost(self, problem: Exception | None) -> None:
        """Count it off."""
        self._asked()
        if self._counted:
            self._counted = False
            self.limits.give_back()
            self.limits.live.discard(self)
            self.inner.connection_lost(problem)

    def pause_writing(self) -> None:
        """Pass on that the client reads slowly."""
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client reads again."""
        self.inner.resume_writing()


class ConnectionLimits:
    """How many connections there may be, and how long the first headers may take."""

    def __init__(self, most: int, header_seconds: float) -> None:
        self.most, self.header_seconds = most, header_seconds
        self.connected = 0
        """Connections now."""
        self.unasked = 0
        """Of these, those whose first request has not come yet."""
        self.live = set[LimitedConnection]()
        """All of them."""
        self.answering = set[asyncio.BaseTransport]()
        """Those whose request is being answered."""
        self.ending = False
        """Whether each connection is closed as its answer ends."""
        self.refused = 0
        """Connections closed because there were too many."""
        self.too_slow = 0
        """Connections closed because no request came in time."""

    def take(self) -> bool:
        """Count one more; False, and then nothing is counted, where as many as may be are open."""
        if self.connected >= self.most:
            return False
        self.connected += 1
        return True

    def give_back(self) -> None:
        """Count one less."""
        self.connected -= 1

    def last(self, answer: web.StreamResponse) -> None:
        """Close an answer's connection behind it where the server ends."""
        if self.ending:
            answer.force_close()

    def limit(self, factory: Callable[[], asyncio.Protocol]) -> Callable[[], LimitedConnection]:
        """Return a factory of connections that keep to the limits."""
        return lambda: LimitedConnection(factory(), self)


class LimitedRunner(web.AppRunner):
    """Runs an application behind limits; a request between two others has `idle_seconds`."""

    def __init__(
        self, app: web.Application, limits: ConnectionLimits, *, idle_seconds: float, **more: Any
    ) -> None:
        super().__init__(
            app,
            access_log=None,
            logger=QuietLogger(),
            keepalive_timeout=idle_seconds,
            # A damaged compressed body of some size leaves its request without any answer.
            auto_decompress=False,
            **more,
        )
        self.limits = limits
        app.middlewares.insert(0, self._note_answering)

    @property
    def _note_answering(self) -> Any:
        @web.middleware
        async def noted(request: web.Request, handler: Any) -> web.StreamResponse:
            transport = request.transport
            if transport is not None:
                self.limits.answering.add(transport)
            try:
                answer: web.StreamResponse = await handler(request)
                self.limits.last(answer)
                return answer
            except web.HTTPException as refusal:
                self.limits.last(refusal)
                raise
            finally:
                if transport is not None:
                    self.limits.answering.discard(transport)

        return noted

    async def stop_listening(self) -> None:
        """Take no more connections, and give who has just connected a moment to ask.

        `cleanup` would close them unanswered, though the next process would have had them.
        """
        for site in self.sites:
            await site.stop()
        for _ in range(TURNS_TO_CONNECT):
            await asyncio.sleep(0)
        end = time.monotonic() + FIRST_REQUEST_SECONDS
        while self.limits.unasked and time.monotonic() < end:
            await asyncio.sleep(0.01)

    async def let_end(self, seconds: float, at_once: asyncio.Event) -> int:
        """Wait for the answers under way, for so long and until `at_once` is set; return how many are left.

        Connections between two requests are closed, and each other one as its answer ends; those that never
        asked, or have only begun to, once `FIRST_REQUEST_SECONDS` are over.
        """
        # Not by aiohttp's own `pre_shutdown`: from then on it throws away what comes, and of a request
        # whose headers are there the body would be waited for in vain.
        self.limits.ending = True
        began = time.monotonic()
        while self.limits.connected and time.monotonic() < began + seconds and not at_once.is_set():
            # Not for ever: who sends a byte now and then would hold the end up.
            patient = time.monotonic() < began + FIRST_REQUEST_SECONDS
            for one in list(self.limits.live):
                one.close_between_requests(patient=patient)
            await asyncio.sleep(0.02)
        return self.limits.connected

    async def cleanup(self) -> None:
        """Stop; a client whose connection was still being made is closed, and not left to nobody."""
        self.limits.most = 0
        await super().cleanup()
        for _ in range(TURNS_TO_CONNECT):
            await asyncio.sleep(0)

    @property
    def server(self) -> Any:
        """What makes a connection's protocol; `TCPSite` asks for it."""
        inner = super().server
        return None if inner is None else self.limits.limit(inner)


def not_listening(key: str, host: str, port: int, problem: OSError | OverflowError) -> OSError:
    """Return why a server does not listen, with the config's key and the address."""
    number = problem.errno if isinstance(problem, OSError) else None
    if number is None or number < 0:
        # No such name, or a port that is none.
        return OSError(f"{key}: {host}:{port}: {problem}")
    return OSError(number, os.strerror(number), f"{key}: {host}:{port}")
