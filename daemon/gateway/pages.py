"""Pages of the gateway: models, what a prompt counts, health, metrics, and its own description."""

import contextlib
import time
from collections.abc import AsyncIterator

import aiohttp
import orjson
from aiohttp import web

from ...ops.flags.evaluator import FlagsUnavailable
from ..capture.engine_request import check_model
from ..doors.all_doors import COUNTS, MESSAGES
from ..engines.engine_pool import EngineAway
from ..http.answers import JSON, printable, refusal
from ..workers.merged_metrics import merged_page
from .completions import no_flags, read_object, refused
from .context import CALLER, CONTEXT, GatewayContext
from .metrics import starts_page
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
    """Handle `/readyz`: 200 where a request would be served, by each worker, else 503 with the reasons.

    Files and hosts are named to the operator alone.
    """
    context = request.app[CONTEXT]
    operator = request[CALLER].known and not request[CALLER].name
    reasons = [told if operator else public for public, told in await _reasons(context)]
    for name, said in (await _ask_peers(context, "/reasons")).items():
        told = [("does not answer",) * 2] if said is None else orjson.loads(said)
        reasons += [f"worker {name}: {one[1] if operator else one[0]}" for one in told]
    state, away = context.flags.state, context.forwarder.problem
    body: dict[str, object] = {
        "ready": not reasons,
        "reasons": reasons,
        "flag_generation": None if state is None else state.generation,
        "log": (away if operator else "away") if away else "ok",
    }
    if operator and context.policies.own:
        # Null until it has flags: its parent's champion answers.
        own = {name: flags.state for name, flags in context.policies.own.items()}
        body["specialists"] = {name: s and s.generation for name, s in own.items()}
    status = 503 if reasons else 200
    return web.Response(status=status, body=orjson.dumps(body), content_type=JSON)


async def _reasons(context: GatewayContext) -> list[tuple[str, str]]:
    """Return why this process would serve nobody: for anybody, and for the operator."""
    now, reasons = time.monotonic(), list[tuple[str, str]]()
    context.flags.refresh(now)
    if not context.flags.ready:
        reasons.append(("flags: none yet", f"flags: {context.flags.problem}"))
    if not await context.engine_pool.alive(now):
        engines = list(context.engine_pool.engines)
        reasons.append(("engine: none", f"engine: none of {engines} is healthy"))
    return reasons


async def metrics(request: web.Request) -> web.Response:
    """Handle `/metrics`: of all workers, each series with its worker's number where there are several."""
    context = request.app[CONTEXT]
    page, worker = context.metrics.page(), context.worker
    if worker is not None:
        told, names = await _ask_peers(context, "/metrics"), worker.peers.names
        # One that dies before it serves would be seen by nothing else.
        others = {
            number: told[name] or starts_page(worker.counts.starts(number))
            for number, name in names.items()
            if name in told
        }
        page = merged_page({worker.number: page, **others})
    return web.Response(
        body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    )


async def _ask_peers(context: GatewayContext, path: str) -> dict[str, bytes | None]:
    """Return what the other workers answer, by name; None of one that gives no answer."""
    worker = context.worker
    if worker is None:
        return {}
    others = [one for one in worker.peers.names if one != worker.number]
    serving = [one for one in others if worker.counts.serving(one)]
    told = await worker.peers.ask(serving, path)
    return {worker.peers.names[one]: told.get(one) for one in others}


@contextlib.asynccontextmanager
async def answering_peers(context: GatewayContext) -> AsyncIterator[None]:
    """Answer the other workers while the block lasts, where there are any."""
    if context.worker is None:
        yield
        return

    async def reasons() -> bytes:
        return orjson.dumps(await _reasons(context))

    async def page() -> bytes:
        return context.metrics.page()

    answers = {"/reasons": reasons, "/metrics": page}
    async with context.worker.peers.answering(context.worker.number, answers):
        yield


async def openapi(request: web.Request) -> web.Response:
    """Handle `/openapi.json`: what this gateway answers, as OpenAPI 3.1."""
    return web.Response(body=orjson.dumps(openapi_document()), content_type=JSON)
