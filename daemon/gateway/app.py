"""The gateway's application: an OpenAI-compatible proxy that assigns, serves and records."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog
from aiohttp import web

from ...ops.flags.signed_flags import check_key
from ...streams.log.ports import EventSink
from ..callers.allowance import Allowances
from ..callers.directory import ClientDirectory
from ..doors.all_doors import COUNTS, DOORS
from ..engines.engine_pool import EnginePool, open_session
from ..http.connections import (
    ConnectionLimits,
    LimitedRunner,
    not_listening,
)
from ..spool.forwarder import Forwarder
from ..spool.left_spools import LeftSpools
from ..spool.spool import Spool
from ..spool.worker_folders import left_spools
from ..supervisor.kept_sockets import BACKLOG, listening_sockets
from ..telemetry.tracing import Tracing
from ..workers.shared_counts import SharedAllowances
from ..workers.worker import GatewayWorker, WorkerConnections
from . import pages
from .completions import CHAT, PLAIN, generate
from .context import CONTEXT, GatewayContext
from .feedback import feedback
from .flag_poll import FlagPoll
from .flag_reporter import FlagReporter
from .guard import guard, tell_origin
from .metrics import GatewayMetrics
from .ofrep import evaluate_all, evaluate_one
from .policy_flags import PolicyFlags
from .settings import GatewaySettings
from .shadow import MIRROR, ShadowMirror

__all__ = ["GatewaySettings", "build_app", "serve_gateway"]

log = structlog.get_logger()

SEND_SECONDS = 10.0
"""Longest wait at the end for the log to take what is spooled."""
CUT_SECONDS = 2.0
"""Longest wait for an answer that is cut to be put down as such."""
TRACES_SECONDS = 2.0
"""Longest wait at the end for a collector of traces."""


def build_app(
    settings: GatewaySettings,
    sink_factory: Callable[[], EventSink],
    *,
    clock: Callable[[], float] = time.time,
    limits: ConnectionLimits | None = None,
    tracing: Tracing | None = None,
    worker: GatewayWorker | None = None,
) -> web.Application:
    """Return the gateway as an aiohttp application; `worker` says which of several processes it is.

    Run it with `handler_cancellation=True`, or a client that leaves does not stop its generation.
    `sink_factory` is called in the forwarder's thread, again after each failure; it may raise
    ConnectionError. Start-up raises SpoolBusy where another process has the spool's folder. Raises
    ValueError for a key of the flags that is no secret.
    """
    if settings.flags_url:
        check_key("gateway.flags_key", settings.flags_key)
    app = web.Application(middlewares=[guard], client_max_size=settings.max_body_bytes)

    async def live(app: web.Application) -> AsyncIterator[None]:
        context = app[CONTEXT] = _open_context(
            settings, sink_factory, clock, limits or _limits(settings), tracing or Tracing(), worker
        )
        mirror = app[MIRROR] = ShadowMirror(context)
        context.forwarder.start()
        context.left.start()
        follows = FlagPoll if settings.flags_url else FlagReporter
        followers = [follows(*own, context.latency) for own in context.policies.followed()]
        for follower in followers:
            await follower.start()
        async with pages.answering_peers(context):
            yield
        for follower in followers:
            await follower.stop()
        await mirror.close()
        await context.engine_pool.close()
        stops = asyncio.to_thread(context.forwarder.stop, SEND_SECONDS)
        left, _ = await asyncio.gather(stops, context.left.stop(SEND_SECONDS))
        if left:
            log.warning("records_stay_spooled", records=left, folder=settings.spool)
        await asyncio.to_thread(context.tracing.close, TRACES_SECONDS)
        context.spool.close()
        context.policies.close()

    app.cleanup_ctx.append(live)
    app.on_response_prepare.append(tell_origin)
    _add_routes(app)
    return app


def _add_routes(app: web.Application) -> None:
    for path in (CHAT, PLAIN, *DOORS):
        app.router.add_post(path, generate)
    app.router.add_routes([web.post(path, pages.count_tokens) for path in COUNTS])
    app.router.add_get("/v1/models", pages.models)
    app.router.add_get("/v1/models/{id:.+}", pages.model)
    app.router.add_post("/v1/feedback", feedback)
    app.router.add_post("/ofrep/v1/evaluate/flags/{key}", evaluate_one)
    app.router.add_post("/ofrep/v1/evaluate/flags", evaluate_all)
    app.router.add_get("/livez", pages.livez)
    app.router.add_get("/readyz", pages.readyz)
    app.router.add_get("/metrics", pages.metrics)
    app.router.add_get("/openapi.json", pages.openapi)


def _open_context(
    settings: GatewaySettings,
    sink_factory: Callable[[], EventSink],
    clock: Callable[[], float],
    limits: ConnectionLimits,
    tracing: Tracing,
    worker: GatewayWorker | None,
) -> GatewayContext:
    """Open spool, flags, engines and counters."""

    def forward(folder: Path) -> Forwarder:
        spool = Spool(folder, settings.spool_max_bytes)
        return Forwarder(spool, sink_factory, oversize_days=settings.oversize_days)

    forwarder = forward(Path(settings.spool))
    spool = forwarder.spool
    left = left_spools(spool.folder, 1) if worker is None else worker.left
    allowances = Allowances() if worker is None else SharedAllowances(worker.counts)
    context = GatewayContext(
        settings=settings,
        policies=PolicyFlags(settings, spool.folder),
        spool=spool,
        forwarder=forwarder,
        left=LeftSpools(left, forward),
        engine_pool=EnginePool(
            open_session(settings.request_seconds),
            settings.engines,
            settings.engine_token,
            settings.empty_engine_seconds,
        ),
        clients=ClientDirectory(
            settings.token, settings.clients, settings.allowed_origins, allowances=allowances
        ),
        worker=worker,
        limits=limits,
        tracing=tracing,
        metrics=GatewayMetrics(),
        # Without a key, on loopback, what this process signed holds for its life.
        keep_key=settings.id_key
        or (secrets.token_bytes(32) if worker is None else worker.keep_key),
        clock=clock,
    )
    shown = (context.flags, forwarder, context.left, limits, tracing, worker, context.latency)
    context.metrics.watch(*shown)
    return context


def _limits(settings: GatewaySettings, worker: GatewayWorker | None = None) -> ConnectionLimits:
    most, seconds = settings.max_connections, settings.header_seconds
    if worker is None:
        return ConnectionLimits(most, seconds)
    return WorkerConnections(most, seconds, worker)


@contextlib.asynccontextmanager
async def serve_gateway(
    settings: GatewaySettings,
    sink_factory: Callable[[], EventSink],
    *,
    clock: Callable[[], float] = time.time,
    tracing: Tracing | None = None,
    at_once: asyncio.Event | None = None,
    worker: GatewayWorker | None = None,
) -> AsyncIterator[str]:
    """Serve until the block ends; give its base URL.

    Answers under way have `stop_seconds` to end, or until `at_once` is set.
    """
    limits = _limits(settings, worker)
    runner = LimitedRunner(
        build_app(
            settings, sink_factory, clock=clock, limits=limits, tracing=tracing, worker=worker
        ),
        limits,
        idle_seconds=settings.idle_seconds,
        handler_cancellation=True,
        shutdown_timeout=CUT_SECONDS,
    )
    await runner.setup()
    try:
        try:
            if worker is None:
                sockets, at_one_turn = listening_sockets(settings.host, settings.port), BACKLOG
            else:
                sockets, at_one_turn = list(worker.sockets), 1
            for one in sockets:
                await web.SockSite(runner, one, backlog=at_one_turn).start()
        except OSError as problem:
            raise not_listening("gateway.port", settings.host, settings.port, problem) from problem
        port = runner.addresses[0][1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        yield f"http://{host}:{port}"
    finally:
        await runner.stop_listening()
        if left := await runner.let_end(settings.stop_seconds, at_once or asyncio.Event()):
            log.warning("answers_cut", answers=left, after_seconds=settings.stop_seconds)
        await runner.cleanup()
