"""Generate: one request for a generation, from the client to the engine and back."""

import asyncio
import logging
import time

import aiohttp
import orjson
from aiohttp import web

from ...ops.flags.evaluator import FlagsUnavailable
from .context import CONTEXT, JSON, error_body, refusal
from .engine_pool import EngineAway
from .engine_request import UnknownModel, read_ask
from .generation_record import GenerationRecord
from .identity import identify, new_generation_id

log = logging.getLogger(__name__)

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"


async def generate(request: web.Request) -> web.StreamResponse:
    """Handle `/v1/chat/completions` and `/v1/completions`.

    The version is chosen once, by the flag; a record is on disk before the first byte goes out.
    """
    parts, settings = request.app[CONTEXT], request.app[CONTEXT].settings
    received, started = parts.clock(), time.perf_counter()
    try:
        body = orjson.loads(await request.read())
        if not isinstance(body, dict):
            raise ValueError("the body must be a JSON object")
        ask = read_ask(
            body,
            chat=request.path == CHAT,
            model=settings.model,
            strip_seed=settings.strip_seed,
        )
        who = identify(request.headers, body, settings.user_key.encode(), settings.harness)
    except UnknownModel as problem:
        return refusal(404, str(problem), "NotFoundError")
    except ValueError as problem:
        return refusal(400, str(problem))
    try:
        assignment = parts.flags.evaluate(who.user_hash, time.monotonic())
    except FlagsUnavailable as problem:
        return refusal(503, f"no flags yet: {problem}", "service_unavailable")
    if who.anonymous:
        parts.meters.anonymous.inc()
    account = GenerationRecord(
        parts=parts,
        who=who,
        ask=ask,
        assignment=assignment,
        generation_id=new_generation_id(who.session, received),
        received=received,
        started=started,
    )
    return await _serve(account, request)


async def _serve(account: GenerationRecord, request: web.Request) -> web.StreamResponse:
    """Ask the engine and pass its answer on."""
    parts, ask = account.parts, account.ask
    parts.meters.before.observe(time.perf_counter() - account.started)
    body = {**ask.body, "request_id": account.generation_id}
    try:
        account.answer = await parts.upstream.ask(
            CHAT if ask.chat else PLAIN, body, account.assignment, account.who.session
        )
        response = account.answer.response
        if response.status != 200:
            return await _pass_error(response)
        if not ask.stream:
            return await _whole(account, response)
    except EngineAway as problem:
        return refusal(503, str(problem), "service_unavailable")
    except TimeoutError:
        return refusal(504, "the engine took too long", "timeout")
    except (aiohttp.ClientError, orjson.JSONDecodeError) as problem:
        return refusal(502, f"the engine broke off: {problem}", "bad_gateway")
    except asyncio.CancelledError:
        # The client left before any byte went out; closing upstream stops the engine.
        if account.answer is not None:
            account.answer.response.close()
        account.end("abort")
        raise
    return await _stream(account, request, response)


async def _pass_error(response: aiohttp.ClientResponse) -> web.Response:
    raw = await response.read()
    if raw.startswith(b"{"):
        return web.Response(status=response.status, body=raw, content_type=JSON)
    text = raw[:500].decode(errors="replace")
    return refusal(response.status, text or response.reason or "", "engine_error")


async def _whole(account: GenerationRecord, response: aiohttp.ClientResponse) -> web.Response:
    piece = orjson.loads(await response.read())
    account.capture.take(piece)
    account.end(account.capture.finish_reason)
    return web.Response(body=orjson.dumps(piece), content_type=JSON, headers=_headers(account))


async def _stream(
    account: GenerationRecord, request: web.Request, response: aiohttp.ClientResponse
) -> web.StreamResponse:
    account.admit()
    out = web.StreamResponse(headers=_headers(account))
    out.headers["Content-Type"] = "text/event-stream; charset=utf-8"
    out.headers["Cache-Control"] = "no-cache"
    out.headers["X-Accel-Buffering"] = "no"
    finish = "error"
    try:
        await out.prepare(request)
        finish = await _relay(account, response, out)
        await out.write_eof()
    except ConnectionError:
        finish = "abort"
    except asyncio.CancelledError:
        finish = "abort"
        raise
    finally:
        # Closed and not released: what is left unread must stop being generated.
        response.close()
        account.end(finish)
    return out


async def _relay(
    account: GenerationRecord, response: aiohttp.ClientResponse, out: web.StreamResponse
) -> str:
    """Pass chunks on as they come; return how the answer ended.

    Raises ConnectionError where the client is gone.
    """
    while True:
        try:
            data = await response.content.readany()
            passed = account.capture.relay(data)
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as problem:
            log.warning("%s: the engine broke off: %s", account.generation_id, problem)
            broken = error_body(502, f"the engine broke off: {problem}", "bad_gateway")
            await out.write(b"data: " + broken + b"\n\n")
            return "error"
        if not data:
            response.release()
            return account.capture.finish_reason or "error"
        if passed:
            await out.write(passed)


def _headers(account: GenerationRecord) -> dict[str, str]:
    assert account.answer is not None
    return {
        "X-Rlwd-Version": account.answer.served.version,
        "X-Rlwd-Variant": str(account.assignment.variant),
    }
