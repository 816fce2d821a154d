"""FlagPage: the daemon's flags, signed, for gateways that do not have the flag file."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec
import orjson
from aiohttp import web

from ...ops.flags.flag_state import FlagState
from ...ops.flags.gateway_report import ACTS_ON, GATEWAY, LATENCY, GatewayReport
from ...ops.flags.signed_flags import (
    GENERATION,
    SIGNATURE,
    asking_token,
    check_key,
    sign_flags,
)
from ..http.credentials import bearer_token, same_token

FLAGS = "/flags"


class FlagPage:
    """Answers `/flags`: 200 with the document, or 304 where the caller has it.

    Whoever asks says on which flags they act, if on any. `confirmed` returns the flags that the flag
    file was seen to say. Raises ValueError for a key that is too short.
    """

    def __init__(
        self,
        key: str,
        confirmed: Callable[[], FlagState | None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.key = check_key("http.flags_key", key) if key else b""
        self.confirmed = confirmed
        self.clock = clock
        self._last: FlagState | None = None
        self._heard: dict[str, GatewayReport] = {}

    def admits(self, request: web.Request) -> bool:
        """Return whether who asks holds the key: so no gateway needs a token that decides things."""
        given = bearer_token(request.headers.get("Authorization", ""))
        return bool(self.key) and same_token(given, asking_token(self.key))

    def heard(self) -> list[GatewayReport]:
        """Return what gateways said since the last call; safe from another thread."""
        heard, self._heard = self._heard, {}
        return list(heard.values())

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a gateway."""
        if not self.key:
            return _refusal(404, "flags are served by the control role alone, with http.flags_key")
        self._hear(request)
        # Where the database is away nothing new was decided: the last ones are right.
        with contextlib.suppress(ConnectionError):
            self._last = await asyncio.to_thread(self.confirmed) or self._last
        state = self._last
        if state is None:
            return _refusal(503, "there are no flags yet: no version was let out")
        signed = sign_flags(state, self.key)
        headers = {
            "ETag": f'"{signed.signature}"',
            "Cache-Control": "no-cache",
            GENERATION: str(signed.generation),
            SIGNATURE: signed.signature,
        }
        # Proxies that compress make a tag weak; for a 304 weak is as good (RFC 9110, 13.1.2).
        known = request.headers.get("If-None-Match", "").replace("W/", "")
        if headers["ETag"] in {one.strip() for one in known.split(",")}:
            return web.Response(status=304, headers=headers)
        return web.Response(body=signed.body, headers=headers, content_type="application/json")

    def _hear(self, request: web.Request) -> None:
        """Note who asks. What is no report is left out: they get the flags all the same."""
        with contextlib.suppress(ValueError):
            report = msgspec.convert(
                {
                    "gateway": request.headers.get(GATEWAY, ""),
                    "generation": int(request.headers.get(ACTS_ON, "0")[:20]),
                    "at": self.clock(),
                    "p95_seconds": float(told) if (told := request.headers.get(LATENCY)) else None,
                },
                GatewayReport,
            )
            self._heard[report.gateway] = report


def _refusal(status: int, said: str) -> web.Response:
    body = orjson.dumps({"error": said})
    return web.Response(status=status, body=body, content_type="application/json")
