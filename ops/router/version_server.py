"""VersionServer: one version's server, from its checkpoint until it is stopped; restarted where it dies."""

import threading
import time
from dataclasses import dataclass

import structlog

from ...learner.candidate import Manifest
from ..engine.http_engine import HttpEngine
from ..engine.port import compare
from ..servers.process import Server
from ..servers.server_died import ServerDied
from .settings import RouterSettings
from .start_turns import StartTurns
from .version_command import ServedFolder, version_server
from .version_folders import Stopped, VersionFolders

log = structlog.get_logger()

WATCH_SECONDS = 0.1
RESTARTS = 3
"""Restarts in a row that may fail before the version counts as lost."""
FIRST_PAUSE_SECONDS = 1.0
"""Between those; it doubles each time."""
STEADY_SECONDS = 60.0
"""One that died sooner after it was proven counts among them."""
PROBE_SECONDS = 60.0
MADE_WAY_SECONDS = 1.0
"""Before a start that made way asks for its device again: who waits for it looks more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTerms:
    """What all servers of a router have in common."""

    settings: RouterSettings
    """`[router]`."""
    folders: VersionFolders
    """Where versions lie."""
    dtype: str
    """`learner.dtype`."""
    tolerance: float
    """`gate.probe_tolerance`, nats."""
    turns: StartTurns
    """Who starts on which device."""


class VersionServer:
    """Writes a version's folder, starts its server, proves it by the version's probe, and watches it.

    It does so on a thread of its own; what it says of itself may be read by any. Nothing is ever loaded
    into a server that runs.
    """

    def __init__(
        self, manifest: Manifest, slot: int, terms: ServerTerms, *, missed: bool = False
    ) -> None:
        """`missed` says that people had the version from a server before this one."""
        self._had = missed
        self.manifest, self.slot, self.terms = manifest, slot, terms
        self.url = ""
        """Where it listens, once it is up."""
        self.up = False
        """Whether it was proven and lives."""
        self.lost = ""
        """Why it is not up and nothing more is tried; empty where something is."""
        self.doing = "waits for its turn to start"
        """What it does until it is up."""
        self.restarts = 0
        """How often it was started again."""
        self.under_way = 0
        """Requests that it answers now; the router's event loop counts them."""
        self._server: Server | None = None
        self._ending, self._makes_way = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name=manifest.version, daemon=True)
        self._thread.start()

    @property
    def version(self) -> str:
        """Name of the version."""
        return self.manifest.version

    @property
    def missed(self) -> bool:
        """Whether it was proven before, and people may be without it."""
        return self._had or self.url != ""

    @property
    def pid(self) -> int | None:
        """Process id of what holds the server (`tether.py`); None where none runs."""
        server = self._server
        return None if server is None or server.process is None else server.process.pid

    def end(self) -> None:
        """Begin to stop it; what it still answers is given a moment."""
        self.up = False
        self._ending.set()

    def make_way(self) -> None:
        """Begin its start anew later: a server that people had waits for the device."""
        self._makes_way = True

    @property
    def ends(self) -> bool:
        """Whether something of it still runs after `end`."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Return once nothing of it runs."""
        self._thread.join()

    def _run(self) -> None:
        failures = 0
        while not self._ending.is_set():
            try:
                self._start()
                lived = self._watch()
                failures = failures + 1 if lived < STEADY_SECONDS else 0
                problem = f"its server ended {lived:.0f} s after it was proven"
            except Stopped:
                if self._ending.is_set():
                    break
                log.warning("version_start_made_way", version=self.version)
                self._ending.wait(MADE_WAY_SECONDS)
                continue
            except (ServerDied, ValueError, OSError) as found:
                failures += 1
                problem = str(found)
            except Exception as found:  # The top of this thread's loop: who asked for it is told.
                log.exception("version_server_fault", version=self.version)
                failures += 1
                problem = repr(found)
            finally:
                self.up = False
                self._stop()
            if not self._may_go_on(failures, problem):
                break

    def _may_go_on(self, failures: int, problem: str) -> bool:
        """Say what went wrong, and wait; False where it is not tried again.

        What never served is not: whoever asked for it is told, and asks again.
        """
        if self._ending.is_set():
            return False
        again = self.url != "" and failures <= RESTARTS
        log.error("version_server_failed", version=self.version, problem=problem, again=again)
        if not again:
            self.lost = problem
            return False
        pause = FIRST_PAUSE_SECONDS * 2.0 ** (failures - 1) if failures else 0.0
        return not self._ending.wait(pause)

    def _start(self) -> None:
        began, device = time.monotonic(), self._device()
        self.doing = "its folder is being written"
        # Not in its turn: that takes minutes, and no room on the device.
        path = self.terms.folders.make(self.manifest, self._ending.is_set)
        with self.terms.turns.taken(device, self, self._waits) as taken:
            self._makes_way = False
            if not taken or self._ending.is_set():
                raise Stopped(self.version)
            self.doing = "its server is being started"
            served = ServedFolder(self.version, path, self.terms.dtype)
            told = self.terms.folders.folder / f"{self.version}.log"
            told.parent.mkdir(parents=True, exist_ok=True)
            server, url = version_server(self.terms.settings, served, told, device)
            self._server = server
            healthy = server.healthy
            server.healthy = lambda: self._given_up() or healthy()
            server.start()
            if self._given_up():
                self._stop()  # Its memory is free before another one looks for it.
                raise Stopped(self.version)
        self._prove(url)
        self.url, self.up = url, True
        seconds = round(time.monotonic() - began, 1)
        log.info("version_serves", version=self.version, url=url, pid=self.pid, seconds=seconds)

    def _given_up(self) -> bool:
        return self._makes_way or self._ending.is_set()

    def _waits(self, behind: str) -> bool:
        """Say behind which version it waits to start; return whether it still does."""
        self.doing = f"waits for {behind or 'another version'}, which starts on the same device"
        return not self._ending.is_set()

    def _prove(self, url: str) -> None:
        """Raise ValueError where it does not answer the version's probe as the learner did."""
        self.doing = "its server is being proven"
        engine = HttpEngine(url, timeout_seconds=PROBE_SECONDS)
        try:
            proof = compare(engine, self.version, self.manifest.probe, self.terms.tolerance)
        finally:
            engine.close()
        if not proof.served:
            raise ValueError(f"its server does not serve {self.version}: {proof.reason}")

    def _device(self) -> str:
        devices = self.terms.settings.devices
        return devices[self.slot % len(devices)] if devices else ""

    def _watch(self) -> float:
        """Return once it ended or is to end, and how long it lived, in seconds."""
        server, began = self._server, time.monotonic()
        assert server is not None
        while not self._ending.wait(WATCH_SECONDS):
            if not server.alive:
                self.up = False
                self.restarts += 1
                self.doing = "its server died and is being started again"
                break
        return time.monotonic() - began

    def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()
