"""GatewayProcess: `rlwd gateway`, which is one process or a parent with several workers."""

import asyncio
import gc
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from ...streams.ending_signals import ending_signals
from ...streams.log.ports import EventSink
from ...streams.logs import log_to_stderr
from ..config import Config
from ..exit_status import starting
from ..gateway.app import CUT_SECONDS, SEND_SECONDS, TRACES_SECONDS, serve_gateway
from ..gateway.settings import GatewaySettings
from ..http.connections import FIRST_REQUEST_SECONDS
from ..places import check_spool
from ..supervisor.notify import notify, notify_stopping
from ..telemetry.open_tracing import open_tracing
from ..telemetry.tracing import Tracing
from ..workers.worker import GatewayWorker

log = structlog.get_logger()

GC_THRESHOLDS = (10_000, 20, 20)
"""New objects before the youngest are searched; searches of a generation before the next one's."""
TURN_SECONDS = 1.0
"""Pause after which a worker says again that its loop turns."""
MARGIN_SECONDS = 15.0
"""What all else may take at the end, on a busy machine."""


def run_alone(
    config: Config, settings: GatewaySettings, sink_factory: Callable[[], EventSink]
) -> None:
    """Serve by this process. Raises SystemExit with the status that a supervisor is to take."""
    with starting():
        check_spool(Path(settings.spool))
        tracing = open_tracing(config.telemetry, "gateway", config.policy)
    listening = threading.Event()
    with starting(listening.is_set):
        run_gateway(settings, sink_factory, tracing, listening.set)


def run_worker(
    config: Config,
    settings: GatewaySettings,
    sink_factory: Callable[[], EventSink],
    listens: Callable[[], None],
    worker: GatewayWorker,
) -> None:
    """Likewise, as one of several, by what of the settings is its own."""
    log_to_stderr(f"gateway-w{worker.number}", config.log_level, config.log_format)
    with starting():
        tracing = open_tracing(config.telemetry, "gateway", config.policy)
    with starting(lambda: worker.counts.serving(worker.number)):
        run_gateway(settings, sink_factory, tracing, listens, worker)


def longest_stop(settings: GatewaySettings) -> float:
    """Return how long a process may take to end, on a busy machine."""
    ends = 2 * CUT_SECONDS + SEND_SECONDS + TRACES_SECONDS
    return settings.stop_seconds + FIRST_REQUEST_SECONDS + ends + MARGIN_SECONDS


def run_gateway(
    settings: GatewaySettings,
    sink_factory: Callable[[], EventSink],
    tracing: Tracing | None = None,
    listens: Callable[[], None] = lambda: None,
    worker: GatewayWorker | None = None,
) -> None:
    """Serve until a signal that ends; then end in order: requests, spool, log. A second signal hurries.

    `listens` is called once it takes requests. Under systemd the next gateway of the unit takes the
    requests that come meanwhile. A worker is told by its parent, and ends too where that is gone.
    """

    async def until_told() -> None:
        told, at_once = asyncio.Event(), asyncio.Event()
        _heed(told, at_once, worker)
        serving = serve_gateway(
            settings, sink_factory, tracing=tracing, at_once=at_once, worker=worker
        )
        async with serving as url:
            log.info("gateway_listens", url=url)
            if worker is not None:
                worker.counts.note_serving(worker.number)
                turning = asyncio.create_task(_turns(worker))  # The loop ends it.
                turning.set_name("turns")
            listens()
            notify("READY=1")
            await told.wait()
            log.info("gateway_stops", longest_seconds=settings.stop_seconds)
            notify_stopping(longest_stop(settings))

    _look_at_new_objects_only()
    asyncio.run(until_told())


def _look_at_new_objects_only() -> None:
    """Have Python's search for cycles leave out what was loaded by now, and search less often.

    Requests leave few cycles, and each search of all that is loaded holds every request up.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _turns(worker: GatewayWorker) -> None:
    while True:
        worker.counts.note_turn(worker.number)
        await asyncio.sleep(TURN_SECONDS)


def _heed(told: asyncio.Event, at_once: asyncio.Event, worker: GatewayWorker | None) -> None:
    """Have signals, and the end of a worker's parent, set one of these."""
    loop = asyncio.get_running_loop()
    if worker is not None:
        loop.add_signal_handler(signal.SIGTERM, told.set)
        loop.add_signal_handler(signal.SIGUSR1, at_once.set)

        def parent_is_gone() -> None:
            loop.remove_reader(worker.parent)
            told.set()

        loop.add_reader(worker.parent, parent_is_gone)
        return

    def stop() -> None:
        (at_once if told.is_set() else told).set()

    for number in ending_signals():
        loop.add_signal_handler(number, told.set if number is signal.SIGHUP else stop)
