"""Relay: an engine's event stream, passed on chunk by chunk until it says that it is done."""

import asyncio

import aiohttp
import structlog
from aiohttp import web

from ...streams.exception_text import exception_said
from ..http.answers import error_body
from .generation_record import GenerationRecord
from .settings import LEEWAY_SECONDS

log = structlog.get_logger()

DONE = b"data: [DONE]\n\n"


async def relay_stream(
    record: GenerationRecord, request: web.Request, response: aiohttp.ClientResponse
) -> web.StreamResponse:
    """Pass an engine's stream on, and end the record as the engine said it ended.

    An abort is an answer whose client left before that: many clients close as soon as they read
    `[DONE]`, whatever the engine still does with its connection.
    """
    record.admit()
    out = web.StreamResponse(headers=record.headers())
    out.headers["Content-Type"] = "text/event-stream; charset=utf-8"
    out.headers["Cache-Control"] = "no-cache"
    out.headers["X-Accel-Buffering"] = "no"
    try:
        await out.prepare(request)
        async with asyncio.timeout(record.context.settings.request_seconds + LEEWAY_SECONDS):
            await _relay(record, response, _Told(record, out))
        record.end(record.told)
        await out.write_eof()
    except ConnectionError:
        record.end(record.told or "abort")
    except TimeoutError:
        # The client does not read.
        record.end(record.told or "timeout")
    except asyncio.CancelledError:
        record.end(record.told or "abort")
        raise
    finally:
        record.end(record.told or "error")
        if record.capture.done:
            record.context.engine_pool.let_go(response)
        else:
            # Closed and not released: what is left unread must stop being generated.
            response.close()
    return out


class _Told:
    """Writes a chat stream to the client, through the door that it asked through."""

    def __init__(self, record: GenerationRecord, out: web.StreamResponse) -> None:
        self.out, through = out, record.through
        self.door = None if through is None else through.door.stream(record.reply(through))

    def turned(self, passed: bytes) -> bytes:
        """Return what the client reads for these bytes of the stream."""
        return passed if self.door is None else self.door.feed(passed)

    async def write(self, passed: bytes) -> None:
        """Tell bytes of a chat stream; raises ConnectionError where the client is gone."""
        await self.out.write(self.turned(passed))


async def _relay(record: GenerationRecord, response: aiohttp.ClientResponse, told: _Told) -> None:
    """Pass events on as they come; raises ConnectionError where the client is gone."""
    capture, ended = record.capture, False
    while not ended:
        try:
            data = await response.content.readany()
            passed = told.turned(capture.relay(data) if data else capture.relay_rest())
        except (aiohttp.ClientError, TimeoutError, ValueError) as problem:
            await _broken(record, told, problem)
            return
        ended = capture.done or not data
        if passed:
            before, record.told = record.told, capture.finish_reason
            try:
                await told.out.write(passed)
            except ConnectionError:
                record.told = before
                raise
    if not capture.done:
        await _broken(record, told, None)
    elif not record.told:
        # It said that it is done, and never how.
        record.told = "error"


async def _broken(record: GenerationRecord, told: _Told, problem: Exception | None) -> None:
    """End a stream that the engine did not end; what had ended before is whole."""
    if record.told and record.told != "error":
        await told.write(DONE)
        return
    said = "end" if problem is None else exception_said(problem)
    log.warning("engine_broke_off", generation=record.generation_id, problem=said)
    late = isinstance(problem, TimeoutError)
    told_before, record.told = record.told, "timeout" if late else "error"
    if not told_before:
        message = "the engine took too long" if late else "the engine broke off"
        broken = error_body(504 if late else 502, message, "timeout" if late else "bad_gateway")
        await told.write(b"data: " + broken + b"\n\n")
