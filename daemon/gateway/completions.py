"""Completions: one request for a generation, from the client to the engine and back."""

import asyncio
import time

import aiohttp
import orjson
import structlog
from aiohttp import web

from ...ops.flags.evaluator import FlagsUnavailable
from .context import CONTEXT, JSON, error_body, refusal
from .engine_pool import EngineAway
from .engine_request import UnknownModel, read_request
from .generation_record import GenerationRecord
from .identity import identify, new_generation_id

log = structlog.get_logger()

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"


async def generate(request: web.Request) -> web.StreamResponse:
    """Handle `/v1/chat/completions` and `/v1/completions`.

    The version is chosen once, by the flag; a record is on disk before the first byte goes out.
    """
    context, settings = request.app[CONTEXT], request.app[CONTEXT].settings
    received, started = context.clock(), time.perf_counter()
    try:
        body = orjson.loads(await request.read())
        if not isinstance(body, dict):
            raise ValueError("the body must be a JSON object")
        engine_request = read_request(
            body,
            chat=request.path == CHAT,
            model=settings.model,
            strip_seed=settings.strip_seed,
        )
        identity = identify(request.headers, body, settings.user_key.encode(), settings.harness)
    except UnknownModel as problem:
        return refusal(404, str(problem), "NotFoundError")
    except ValueError as problem:
        return refusal(400, str(problem))
    try:
        assignment = context.flags.evaluate(identity.user_hash, time.monotonic())
    except FlagsUnavailable as problem:
        return refusal(503, f"no flags yet: {problem}", "service_unavailable")
    if identity.anonymous:
        context.metrics.anonymous.inc()
    record = GenerationRecord(
        context=context,
        identity=identity,
        engine_request=engine_request,
        assignment=assignment,
        generation_id=new_generation_id(identity.session, received),
        received=received,
        started=started,
    )
    return await _serve(record, request)


async def _serve(record: GenerationRecord, request: web.Request) -> web.StreamResponse:
    """Ask the engine and pass its answer on."""
    context, engine_request = record.context, record.engine_request
    context.metrics.before.observe(time.perf_counter() - record.started)
    body = {**engine_request.body, "request_id": record.generation_id}
    try:
        record.answer = await context.engine_pool.ask(
            CHAT if engine_request.chat else PLAIN, body, record.assignment, record.identity.session
        )
        response = record.answer.response
        if response.status != 200:
            return await _pass_error(response)
        if not engine_request.stream:
            return await _whole(record, response)
    except EngineAway as problem:
        return refusal(503, str(problem), "service_unavailable")
    except TimeoutError:
        return refusal(504, "the engine took too long", "timeout")
    except (aiohttp.ClientError, orjson.JSONDecodeError) as problem:
        return refusal(502, f"the engine broke off: {problem}", "bad_gateway")
    except asyncio.CancelledError:
        # The client left before any byte went out; closing upstream stops the engine.
        if record.answer is not None:
            record.answer.response.close()
        record.end("abort")
        raise
    return await _stream(record, request, response)


async def _pass_error(response: aiohttp.ClientResponse) -> web.Response:
    raw = await response.read()
    if raw.startswith(b"{"):
        return web.Response(status=response.status, body=raw, content_type=JSON)
    text = raw[:500].decode(errors="replace")
    return refusal(response.status, text or response.reason or "", "engine_error")


async def _whole(record: GenerationRecord, response: aiohttp.ClientResponse) -> web.Response:
    piece = orjson.loads(await response.read())
    record.capture.take(piece)
    record.end(record.capture.finish_reason)
    return web.Response(body=orjson.dumps(piece), content_type=JSON, headers=_headers(record))


async def _stream(
    record: GenerationRecord, request: web.Request, response: aiohttp.ClientResponse
) -> web.StreamResponse:
    record.admit()
    out = web.StreamResponse(headers=_headers(record))
    out.headers["Content-Type"] = "text/event-stream; charset=utf-8"
    out.headers["Cache-Control"] = "no-cache"
    out.headers["X-Accel-Buffering"] = "no"
    finish = "error"
    try:
        await out.prepare(request)
        finish = await _relay(record, response, out)
        await out.write_eof()
    except ConnectionError:
        finish = "abort"
    except asyncio.CancelledError:
        finish = "abort"
        raise
    finally:
        # Closed and not released: what is left unread must stop being generated.
        response.close()
        record.end(finish)
    return out


async def _relay(
    record: GenerationRecord, response: aiohttp.ClientResponse, out: web.StreamResponse
) -> str:
    """Pass chunks on as they come; return how the answer ended.

    Raises ConnectionError where the client is gone.
    """
    while True:
        try:
            data = await response.content.readany()
            passed = record.capture.relay(data)
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as problem:
            log.warning("engine_broke_off", generation=record.generation_id, problem=str(problem))
            broken = error_body(502, f"the engine broke off: {problem}", "bad_gateway")
            await out.write(b"data: " + broken + b"\n\n")
            return "error"
        if not data:
            response.release()
            return record.capture.finish_reason or "error"
        if passed:
            await out.write(passed)


def _headers(record: GenerationRecord) -> dict[str, str]:
    assert record.answer is not None
    return {
        "X-Rlwd-Version": record.answer.served.version,
        "X-Rlwd-Variant": str(record.assignment.variant),
    }
