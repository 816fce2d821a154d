"""FlagPoll: asks a daemon for its signed flags, for a gateway on another host than the flag file."""

import asyncio
import contextlib

import aiohttp

from ...ops.flags.evaluator import FlagEvaluator
from ...ops.flags.gateway_report import ACTS_ON, GATEWAY, LATENCY
from ...ops.flags.signed_flags import (
    MOST_BYTES,
    SIGNATURE,
    asking_token,
    check_flags,
    check_key,
)
from ...streams.authorities import authorities
from ..engines.recent_latency import RecentLatency
from .flag_reporter import gateway_id
from .settings import GatewaySettings

ANSWER_SECONDS = 5.0
"""Longest wait for an answer; the flags that are there decide meanwhile."""


class FlagPoll:
    """Asks again and again, beside the requests and never within one.

    Consumes: the daemon's answers; waits for: the next time to ask; unblocked by: time, `stop`;
    produces: flags for the evaluator, or why there are none. What is not signed, for another policy
    or older than what is known is refused, as a bad flag file is.
    """

    def __init__(
        self, settings: GatewaySettings, flags: FlagEvaluator, latency: RecentLatency
    ) -> None:
        self.settings, self.flags, self.latency = settings, flags, latency
        self._key = check_key("gateway.flags_key", settings.flags_key)
        self._token = settings.flags_token or asking_token(self._key)
        self._id, self._tag = gateway_id(settings), ""
        self._session: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask once, so that the first request finds flags, and then go on."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=authorities()),
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        await self.ask()
        self._task = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._session is not None:
            await self._session.close()

    async def ask(self) -> None:
        """Ask once, and tell the evaluator what came of it."""
        assert self._session is not None, "started"
        try:
            async with self._session.get(
                self.settings.flags_url, headers=self._headers(), allow_redirects=False
            ) as response:
                await self._take(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            self.flags.refuse(f"no answer: {problem or type(problem).__name__}")
        except ValueError as problem:
            self.flags.refuse(str(problem))

    def _headers(self) -> dict[str, str]:
        headers = {GATEWAY: self._id, "Authorization": f"Bearer {self._token}"}
        if self.flags.state is not None:
            headers[ACTS_ON] = str(self.flags.state.generation)
        if (p95 := self.latency.p95()) is not None:
            headers[LATENCY] = f"{p95:.3f}"
        if self._tag:
            headers["If-None-Match"] = f'"{self._tag}"'
        return headers

    async def _take(self, response: aiohttp.ClientResponse) -> None:
        """Take over an answer. Raises ValueError with what is wrong with it."""
        if response.status == 304 and self._tag:
            self.flags.confirm()
            return
        body = await response.content.read(MOST_BYTES + 1)
        if response.status != 200:
            asked = " (is gateway.flags_key the daemon's http.flags_key?)"
            hint = asked if response.status == 401 else ""
            said = body[:200].decode(errors="replace")
            raise ValueError(f"status {response.status}{hint}: {said}")
        # One read gives what there is; the rest of a large one comes after.
        while (more := await response.content.read(MOST_BYTES + 1)) and len(body) <= MOST_BYTES:
            body += more
        if len(body) > MOST_BYTES:
            raise ValueError(f"is over {MOST_BYTES} bytes")
        check_flags(response.headers, body, self._key, self.settings.policy)
        if self.flags.take(body):
            self._tag = response.headers[SIGNATURE]

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self.settings.flags_seconds)
            before = self._tag
            await self.ask()
            if self._tag != before:
                # It says at once that it acts on them: somebody may wait for a rollback.
                await self.ask()
