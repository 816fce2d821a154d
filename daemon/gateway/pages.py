"""Pages of the gateway: models, health, metrics, and its own description."""

import time

import orjson
from aiohttp import web

from ..http.answers import JSON, printable, refusal
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
