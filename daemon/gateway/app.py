"""The gateway's application: an OpenAI-compatible proxy that assigns, serves and records."""

import asyncio
import contextlib
import hmac
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import orjson
import structlog
from aiohttp import web

from ...ops.flags.evaluator import FlagEvaluator
from ...streams.log.ports import EventSink
from ..spool.forwarder import Forwarder
from ..spool.spool import Spool
from .completions import CHAT, PLAIN, generate
from .context import CONTEXT, JSON, GatewayContext, refusal
from .engine_pool import EnginePool, open_session
from .feedback import feedback
from .metrics import GatewayMetrics
from .ofrep import evaluate_all, evaluate_one
from .settings import GatewaySettings

__all__ = ["GatewaySettings", "build_app", "run_gateway", "serve_gateway"]

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_OPEN = frozenset(("/livez", "/readyz"))
STOP_SECONDS = 10.0


def build_app(
    settings: GatewaySettings,
    sink_factory: Callable[[], EventSink],
    *,
    clock: Callable[[], float] = time.time,
) -> web.Application:
    """Return the gateway as an aiohttp application.

    Run it with `handler_cancellation=True`, or a client that leaves does not stop its generation.
    `sink_factory` is called in the forwarder's thread, again after each failure; it may raise
    ConnectionError. Start-up raises SpoolBusy where another process has the spool's folder.
    """
    app = web.Application(middlewares=[guard], client_max_size=settings.max_body_bytes)

    async def live(app: web.Application) -> AsyncIterator[None]:
        context = app[CONTEXT] = _open_context(settings, sink_factory, clock)
        context.forwarder.start()
        yield
        await context.engine_pool.session.close()
        left = await asyncio.to_thread(context.forwarder.stop, STOP_SECONDS)
        if left:
            log.warning("records_stay_spooled", records=left, folder=settings.spool)
        context.spool.close()
        context.flags.close()

    app.cleanup_ctx.append(live)
    app.router.add_post(CHAT, generate)
    app.router.add_post(PLAIN, generate)
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/feedback", feedback)
    app.router.add_post("/ofrep/v1/evaluate/flags/{key}", evaluate_one)
    app.router.add_post("/ofrep/v1/evaluate/flags", evaluate_all)
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


def _open_context(
    settings: GatewaySettings, sink_factory: Callable[[], EventSink], clock: Callable[[], float]
) -> GatewayContext:
    """Open spool, flags, engines and counters."""
    spool = Spool(Path(settings.spool), settings.spool_max_bytes)
    context = GatewayContext(
        settings=settings,
        flags=FlagEvaluator(Path(settings.flags)),
        spool=spool,
        forwarder=Forwarder(spool, sink_factory),
        engine_pool=EnginePool(
            open_session(settings.request_seconds),
            settings.engines,
            settings.engine_token,
            settings.empty_engine_seconds,
        ),
        metrics=GatewayMetrics(),
        clock=clock,
    )
    context.metrics.watch(context.flags, context.spool, context.forwarder)
    return context


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Ask for the token, turn aiohttp's own refusals into OpenAI's shape, count answers."""
    context = request.app[CONTEXT]
    token, given = context.settings.token, request.headers.get("Authorization", "")
    if (
        token
        and request.path not in _OPEN
        and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
    ):
        answer: web.StreamResponse = refusal(401, "a valid bearer token is needed", "unauthorized")
    else:
        try:
            answer = await handler(request)
        except web.HTTPException as problem:
            answer = refusal(problem.status, problem.text or problem.reason)
    resource = request.match_info.route.resource
    route = "other" if resource is None else resource.canonical
    context.metrics.requests.labels(route, str(answer.status)).inc()
    return answer


async def models(request: web.Request) -> web.Response:
    """Handle `/v1/models`: the public name, and no version."""
    name = request.app[CONTEXT].settings.model
    entry = {"id": name, "object": "model", "created": 0, "owned_by": "rlwd"}
    body = orjson.dumps({"object": "list", "data": [entry]})
    return web.Response(body=body, content_type=JSON)


async def livez(request: web.Request) -> web.Response:
    """Handle `/livez`: the process answers."""
    return web.Response(body=b'{"live":true}', content_type=JSON)


async def readyz(request: web.Request) -> web.Response:
    """Handle `/readyz`: 200 where a request would be served, else 503 with the reasons."""
    context, now = request.app[CONTEXT], time.monotonic()
    context.flags.refresh(now)
    reasons = []
    if not context.flags.ready:
        reasons.append(f"flags: {context.flags.problem}")
    if not await context.engine_pool.alive(now):
        reasons.append(f"engine: none of {list(context.engine_pool.engines)} is healthy")
    state = context.flags.state
    body = {
        "ready": not reasons,
        "reasons": reasons,
        "flag_generation": None if state is None else state.generation,
        "log": context.forwarder.problem or "ok",
    }
    status = 503 if reasons else 200
    return web.Response(status=status, body=orjson.dumps(body), content_type=JSON)


async def metrics(request: web.Request) -> web.Response:
    """Handle `/metrics`."""
    return web.Response(
        body=request.app[CONTEXT].metrics.page(),
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )


@contextlib.asynccontextmanager
async def serve_gateway(
    settings: GatewaySettings, sink_factory: Callable[[], EventSink]
) -> AsyncIterator[str]:
    """Serve until the block ends; give its base URL. Requests in flight get a while to end."""
    runner = web.AppRunner(
        build_app(settings, sink_factory),
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=STOP_SECONDS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
        port = runner.addresses[0][1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def run_gateway(settings: GatewaySettings, sink_factory: Callable[[], EventSink]) -> None:
    """Serve until SIGTERM or SIGINT; then end in order: requests, spool, log."""

    async def until_told() -> None:
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        async with serve_gateway(settings, sink_factory) as url:
            log.info("gateway_listens", url=url)
            await told.wait()

    asyncio.run(until_told())
