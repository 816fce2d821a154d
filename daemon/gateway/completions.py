"""Completions: one request for a generation, from the client to the engine and back."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
import structlog
from aiohttp import web
from structlog.contextvars import bind_contextvars

from ...ops.flags.assignment import Assignment
from ...ops.flags.evaluator import FlagsUnavailable
from ...streams.exception_text import exception_said
from ..callers.generation_ids import new_generation_id
from ..callers.identity import Identity, TenantRefused, identify
from ..callers.kept_version import VERSION, KeptVersion, keep_version
from ..callers.specialists import policy_tag
from ..capture.engine_json import read_engine_json, write_json
from ..capture.engine_request import EngineRequest, UnknownModel, read_request
from ..doors.all_doors import DOORS
from ..doors.door import AskedThrough
from ..engines.engine_pool import EngineAway
from ..http.answers import JSON, refusal
from ..http.bodies import BodyRefused, parse_json, read_body
from .context import CALLER, CONTEXT, GatewayContext
from .generation_record import LEFT, GenerationRecord
from .relay import relay_stream
from .shadow import MIRROR

log = structlog.get_logger()

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"


async def generate(request: web.Request) -> web.StreamResponse:
    """Handle `/v1/chat/completions`, `/v1/completions`, and the doors that are mapped onto chat.

    The version is chosen once, by the flag; a record is on disk before the first byte goes out. A
    request that was assigned a variant ends in one event, whatever becomes of it.
    """
    context = request.app[CONTEXT]
    received, started = context.clock(), time.perf_counter()
    try:
        engine_request, identity, through = await _read(context, request)
    except ValueError as problem:
        return refused(problem)
    try:
        assignment = context.policies.assign(identity.policy, identity.user_hash, time.monotonic())
    except FlagsUnavailable:
        return no_flags()
    if identity.anonymous:
        context.metrics.anonymous.inc()
    for name in identity.left_out:
        context.metrics.left_out.labels(name).inc()
    key = context.settings.id_key
    kept = _keep(context, request, identity, assignment, received)
    tag = policy_tag(identity.policy) if identity.policy in context.settings.specialists else ""
    name = new_generation_id(identity.session, received, identity.tenant, key, tag)
    record = GenerationRecord(
        context=context,
        identity=identity,
        engine_request=engine_request,
        assignment=kept.assignment,
        on_version_since=kept.since,
        generation_id=name,
        span=context.tracing.answer(request.headers.get("traceparent", ""), name, received),
        received=received,
        started=started,
        through=through,
    )
    bind_contextvars(generation=record.generation_id)
    try:
        with context.latency.waiting(started, lambda: record.finish):
            return await _serve(record, request)
    finally:
        request.app[MIRROR].after(record)


def refused(problem: ValueError) -> web.Response:
    """Return the refusal of a request that cannot be read."""
    if isinstance(problem, UnknownModel):
        return refusal(404, str(problem), "NotFoundError")
    if isinstance(problem, TenantRefused):
        return refusal(403, str(problem), "forbidden")
    return refusal(problem.status if isinstance(problem, BodyRefused) else 400, str(problem))


def no_flags() -> web.Response:
    """Return the refusal of a request that nobody can assign yet."""
    return refusal(503, "no flags yet", "service_unavailable", {"Retry-After": "1"})


def _keep(
    context: GatewayContext,
    request: web.Request,
    identity: Identity,
    assignment: Assignment,
    received: float,
) -> KeptVersion:
    """Return what serves the request: what the flag says, or what its conversation has so far."""
    state = context.policies.deciding(identity.policy).state
    found = keep_version(
        request.headers.get(VERSION, ""),
        assignment,
        () if state is None else state.kept,
        identity,
        context.keep_key,
        now=received,
        keep_seconds=context.settings.keep_seconds,
    )
    if found.outcome != "none":
        context.metrics.kept.labels(found.outcome).inc()
    return found


async def read_object(context: GatewayContext, request: web.Request) -> dict[str, Any]:
    """Return the JSON object of a request's body. Raises ValueError for what is none."""
    body = parse_json(await read_body(request, context.settings.body_seconds))
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    return body


async def _read(
    context: GatewayContext, request: web.Request
) -> tuple[EngineRequest, Identity, AskedThrough | None]:
    """Return what is asked and by whom. Raises ValueError for what cannot be served."""
    settings = context.settings
    body = await read_object(context, request)
    through: AskedThrough | None = None
    ignored: tuple[str, ...] = ()
    if (door := DOORS.get(request.path)) is not None:
        through, chat = AskedThrough(door=door, asked=body), door.request(body)
        body, ignored = chat.body, chat.ignored
    engine_request = read_request(
        body, chat=request.path != PLAIN, model=settings.model, strip_seed=settings.strip_seed
    )
    if ignored:
        engine_request = replace(engine_request, ignored=(*engine_request.ignored, *ignored))
    identity = identify(
        request.headers,
        body,
        settings.user_key.encode(),
        settings.harness,
        tenant=request[CALLER].tenant,
        beginning=engine_request.conversation.beginning,
        privacy=settings.privacy,
        references=settings.references,
        specialists=context.policies.owners,
    )
    return engine_request, identity, through


async def _serve(record: GenerationRecord, request: web.Request) -> web.StreamResponse:
    """Ask the engine and pass its answer on; the record ends with whatever comes of it."""
    context, engine_request = record.context, record.engine_request
    context.metrics.before.observe(time.perf_counter() - record.started)
    body = {**engine_request.body, "request_id": record.generation_id}
    try:
        path = CHAT if engine_request.chat else PLAIN
        record.answered_by(
            await context.engine_pool.ask(path, body, record.assignment, record.identity.session)
        )
        assert record.answer is not None
        response = record.answer.response
        if response.status != 200:
            answer = await _pass_error(record, response)
        elif engine_request.stream and response.content_type == "text/event-stream":
            return await relay_stream(record, request, response)
        else:
            answer = await _whole(record, response)
    except EngineAway as problem:
        log.warning("engine_away", problem=str(problem))
        answer = _failed(record, "error", 503, problem.public, "service_unavailable")
        answer.headers["Retry-After"] = "1"
    except TimeoutError:
        answer = _failed(record, "timeout", 504, "the engine took too long", "timeout")
    except (aiohttp.ClientError, ValueError) as problem:
        log.warning("engine_broke_off", problem=exception_said(problem))
        answer = _failed(record, "error", 502, "the engine broke off", "bad_gateway")
    except asyncio.CancelledError:
        # The client left before any byte went out; closing the response stops the engine.
        if record.answer is not None:
            record.answer.response.close()
        record.end("abort", LEFT)
        raise
    answer.headers.update(record.headers())
    return answer


def _failed(
    record: GenerationRecord, finish: str, status: int, message: str, kind: str
) -> web.Response:
    record.end(finish, status)
    return refusal(status, message, kind)


async def _pass_error(record: GenerationRecord, response: aiohttp.ClientResponse) -> web.Response:
    """Pass on what the engine refused in its own words; of its own failures, that there was one."""
    raw, status = await response.read(), response.status
    if not 400 <= status < 500:
        # Not what it said: an engine quotes the request that it failed on.
        log.warning("engine_failed", status=status, bytes=len(raw))
        status = status if status >= 500 else 502
        return _failed(record, "error", status, "the engine failed", "engine_error")
    log.info("engine_refused", status=status)
    record.end("refused", status)
    if raw.lstrip().startswith(b"{"):
        answer = web.Response(status=status, body=record.capture.hide(raw), content_type=JSON)
    else:
        text = record.capture.hide(raw[:500]).decode(errors="replace")
        answer = refusal(status, text or response.reason or "", "engine_error")
    if "Retry-After" in response.headers:
        answer.headers["Retry-After"] = response.headers["Retry-After"]
    return answer


async def _whole(record: GenerationRecord, response: aiohttp.ClientResponse) -> web.Response:
    piece = read_engine_json(await response.read())
    if not isinstance(piece, dict):
        raise orjson.JSONDecodeError("no object", "", 0)
    taken = record.capture.take(piece)
    if record.through is not None and "error" not in taken:
        taken = record.through.door.answer(taken, record.reply(record.through))
    told = write_json(taken)
    finish = record.capture.finish_reason
    status = 502 if "error" in piece and finish == "error" else 200
    record.end(finish or "error", status)
    return web.Response(status=status, body=told, content_type=JSON)
