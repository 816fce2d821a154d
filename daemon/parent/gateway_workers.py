"""GatewayWorkers: one gateway served by several processes on one port (docs/gateways.md)."""

import gc
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog

from ...streams.log.ports import EventSink
from ..config import Config
from ..exit_status import starting
from ..gateway.settings import GatewaySettings
from ..http.connections import not_listening
from ..places import check_spool
from ..spool.worker_folders import left_spools
from ..supervisor.kept_sockets import listening_sockets
from ..supervisor.notify import notify, notify_stopping
from ..workers.peers import Peers
from ..workers.shared_counts import SharedCounts
from ..workers.worker import GatewayWorker, SharedSocket
from .gateway_process import longest_stop, run_alone, run_worker
from .worker_parent import WorkerParent

log = structlog.get_logger()

NOTICE_SECONDS = 5.0
"""What the parent gives the workers beyond the time that each of them keeps to by itself."""


def run_processes(
    config: Config, settings: GatewaySettings, sink_factory: Callable[[], EventSink]
) -> None:
    """Run the gateway of these settings until it is told to stop.

    Raises SystemExit with the status that a supervisor is to take.
    """
    if settings.workers == 1:
        run_alone(config, settings, sink_factory)
        return
    with starting():
        several = GatewayWorkers(config, settings, sink_factory)
    raise SystemExit(several.run())


class GatewayWorkers:
    """What the workers of one gateway share, made before the first of them is."""

    def __init__(
        self, config: Config, settings: GatewaySettings, sink_factory: Callable[[], EventSink]
    ) -> None:
        """Raises OSError and ValueError for what no worker could begin with."""
        self._config, self._sink_factory = config, sink_factory
        self.sockets = _shared(settings)
        port = self.sockets[0].getsockname()[1]
        self.settings = settings = msgspec.structs.replace(settings, port=port)
        own = [settings.of_worker(one) for one in range(1, settings.workers + 1)]
        for one in own:
            check_spool(Path(one.spool))
        self.peers = Peers([one.name for one in own])
        self.counts = SharedCounts(settings.workers, settings.clients, Path(settings.spool))
        self._keep_key = settings.id_key or secrets.token_bytes(32)

    def run(self) -> int:
        """Serve until told to stop; return the exit status."""
        gc.freeze()  # What is there now is shared by all workers, and never looked at again.
        parent = WorkerParent(
            self.settings.workers,
            self._serve,
            self.counts,
            serving=self._serving,
            stopping=self._stopping,
            hang_seconds=self.settings.hang_seconds,
        )
        return parent.run()

    def _serve(self, number: int, parent: int, listens: Callable[[], None]) -> None:
        """Be one worker."""
        self.peers.keep(number)
        spools = left_spools(Path(self.settings.spool), self.settings.workers)
        worker = GatewayWorker(
            number=number,
            sockets=self.sockets,
            peers=self.peers,
            counts=self.counts,
            keep_key=self._keep_key,
            left=spools if number == 1 else (),
            parent=parent,
        )
        own = self.settings.of_worker(number)
        run_worker(self._config, own, self._sink_factory, listens, worker)

    def _serving(self) -> None:
        log.info("workers_serve", workers=self.settings.workers, port=self.settings.port)
        notify("READY=1")

    def _stopping(self) -> float:
        """Close the port here; who connects meanwhile is for the next gateway, where there is one."""
        for one in self.sockets:
            one.close()
        seconds = longest_stop(self.settings) + NOTICE_SECONDS
        notify_stopping(seconds)
        log.info("gateway_stops", longest_seconds=self.settings.stop_seconds)
        return seconds


def _shared(settings: GatewaySettings) -> Sequence[SharedSocket]:
    try:
        found = listening_sockets(settings.host, settings.port)
    except (OSError, OverflowError) as problem:
        raise not_listening("gateway.port", settings.host, settings.port, problem) from problem
    return [SharedSocket(fileno=one.detach()) for one in found]
