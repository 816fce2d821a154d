"""Pages of the gateway: models, what a prompt counts, health, metrics, and its own description."""

import time

import aiohttp
import orjson
from aiohttp import web

from ...ops.flags.evaluator import FlagsUnavailable
from ..capture.engine_request import check_model
from ..doors.all_doors import COUNTS, MESSAGES
from ..engines.engine_pool import EngineAway
from ..http.answers import JSON, printable, refusal
from .completions import no_flags, read_object, refused
from .context import CALLER, CONTEXT
from .openapi import openapi_document


async def models(request: web.Request) -> web.Response:
    """Handle `/v1/models`: the public name, and no version."""
    body = orjson.dumps({"object": "list", "data": [_entry(request)]})
    return web.Response(body=body, content_type=JSON)


async def model(request: web.Request) -> web.Response:
    """Handle `/v1/models/{id}`."""
    asked, entry = request.match_info["id"], _entry(request)
    if asked != entry["id"]:
        message = f"The model `{printable(asked)}` does not exist. There is: {entry['id']}."
        return refusal(404, message, "NotFoundError")
    return web.Response(body=orjson.dumps(entry), content_type=JSON)


def _entry(request: web.Request) -> dict[str, object]:
    name = request.app[CONTEXT].settings.model
    return {"id": name, "object": "model", "created": 0, "owned_by": "rlwd"}


async def count_tokens(request: web.Request) -> web.Response:
    """Handle `/v1/messages/count_tokens` and `/v1/responses/input_tokens`: how many tokens the model
    would read. Nothing is recorded.
    """
    context = request.app[CONTEXT]
    try:
        body = await read_object(context, request)
        check_model(body, context.settings.model)
        asked = COUNTS[request.path](body)
    except ValueError as problem:
        return refused(problem)
    try:
        # Every version reads as the others do, so nobody's assignment is as good as any.
        assignment = context.flags.evaluate("", time.monotonic())
        counted = await context.engine_pool.count(asked, assignment)
    except FlagsUnavailable:
        return no_flags()
    except EngineAway as problem:
        return refusal(503, problem.public, "service_unavailable", {"Retry-After": "1"})
    except TimeoutError:
        return refusal(504, "the engine took too long", "timeout")
    except (aiohttp.ClientError, ValueError):
        return refusal(502, "the engine cannot count tokens", "bad_gateway")
    if isinstance(counted, str):
        return refusal(400, counted)
    if counted is None:
        return refusal(404, "this engine has no /tokenize to count by", "NotFoundError")
    told: dict[str, object] = {"input_tokens": counted}
    if not request.path.startswith(MESSAGES):
        told["object"] = "response.input_tokens"
    return web.Response(body=orjson.dumps(told), content_type=JSON)


async def livez(request: web.Request) -> web.Response:
    """Handle `/livez`: the process answers."""
    return web.Response(body=b'{"live":true}', content_type=JSON)


async def readyz(request: web.Request) -> web.Response:
    """Handle `/readyz`: 200 where a request would be served, else 503 with the reasons.

    Files and hosts are named to the operator alone.
    """
    context, now = request.app[CONTEXT], time.monotonic()
    operator = request[CALLER].known and not request[CALLER].name
    context.flags.refresh(now)
    reasons = []
    if not context.flags.ready:
        reasons.append(f"flags: {context.flags.problem}" if operator else "flags: none yet")
    if not await context.engine_pool.alive(now):
        engines = list(context.engine_pool.engines)
        reasons.append(f"engine: none of {engines} is healthy" if operator else "engine: none")
    state, away = context.flags.state, context.forwarder.problem
    body = {
        "ready": not reasons,
        "reasons": reasons,
        "flag_generation": None if state is None else state.generation,
        "log": (away if operator else "away") if away else "ok",
    }
    status = 503 if reasons else 200
    return web.Response(status=status, body=orjson.dumps(body), content_type=JSON)


async def metrics(request: web.Request) -> web.Response:
    """Handle `/metrics`."""
    return web.Response(
        body=request.app[CONTEXT].metrics.page(),
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )


async def openapi(request: web.Request) -> web.Response:
    """Handle `/openapi.json`: what this gateway answers, as OpenAPI 3.1."""
    return web.Response(body=orjson.dumps(openapi_document()), content_type=JSON)
