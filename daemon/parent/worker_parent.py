"""WorkerParent: starts a gateway's workers, starts again those that die, and ends them in order.

It is one thread without a server of its own, so that a fork of it takes nothing half done along. Each
worker holds the only end for writing of a pipe: it writes there once it takes requests, and its end is
the pipe's.
"""

import contextlib
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

import structlog

from ...streams.ending_signals import ending_signals
from ..exit_status import ENDED, FAULT, LATER
from ..workers.shared_counts import SharedCounts

log = structlog.get_logger()

LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.1, 30.0
"""Before a worker is started again; it doubles with each that ends before it served for a while."""
SERVED_SECONDS = 30.0
"""A while: who dies sooner, again and again, would spend a core on its starts."""
LOOK_SECONDS = 10.0
"""At least so often the parent looks whether workers turn."""
START_SECONDS = 600.0
"""Longest from a worker's start until it takes requests, at least: it reads its spool first, which may be of gigabytes."""
KILLED_SECONDS = 60.0
"""Between two times that who does not end is killed."""
HURRY = signal.SIGUSR1
"""Tells a worker that ends to cut what is under way; SIGTERM alone comes twice where a supervisor sends
it to all processes, too."""


@dataclass(slots=True, kw_only=True)
class Running:
    """A worker's process."""

    number: int
    """Of the worker, from 1 on."""
    pid: int
    """Of the process."""
    started: float
    """Monotonic time at which it was started."""
    serves_since: float | None = None
    """Monotonic time at which it said that it takes requests."""


class WorkerParent:
    """Holds the workers of one gateway for as long as it runs."""

    def __init__(
        self,
        workers: int,
        serve: Callable[[int, int, Callable[[], None]], None],
        counts: SharedCounts,
        *,
        serving: Callable[[], None],
        stopping: Callable[[], float],
        hang_seconds: float,
    ) -> None:
        """`serve` is run in each worker, with its number, a descriptor that can be read once the parent
        is gone, and what to call once it takes requests; it returns once it has ended in order.

        `serving` is called once all do so, and `stopping` at the first signal: it returns how many
        seconds the workers have. One that has not turned for `hang_seconds` is killed.
        """
        self.hang_seconds, self.look_seconds = hang_seconds, min(LOOK_SECONDS, hang_seconds / 4)
        self.workers, self.counts = workers, counts
        self._serve, self._serving, self._stopping = serve, serving, stopping
        self._running: dict[int, Running] = {}  # by the pipe's end for reading
        self._due: dict[int, float] = dict.fromkeys(range(1, workers + 1), 0.0)
        self._pauses: dict[int, float] = {}
        self._heard = ending_signals()
        self._signals = self._heeded = self._status = 0
        self._deadline: float | None = None
        self._began = False
        self._looks_at = time.monotonic() + self.look_seconds
        self._wakes, self._wake = os.pipe()
        self._lives, self._life = os.pipe()

    def run(self) -> int:
        """Serve until a signal that ends, which a second one hurries; return the exit status.

        A worker that cannot begin at the first start ends all of them, by its own status.
        """
        with self._signals_heard():
            while True:
                self._heed()
                self._start_due()
                self._end_hung()
                if self._deadline is not None and not self._running:
                    return self._status
                ready, _, _ = select.select([self._wakes, *self._running], [], [], self._wait())
                for one in ready:
                    if one == self._wakes:
                        os.read(one, 4096)
                    else:
                        self._hear(one)

    @contextlib.contextmanager
    def _signals_heard(self) -> Iterator[None]:
        def count(number: int, _: FrameType | None) -> None:
            if number != signal.SIGHUP or not self._signals:
                self._signals += 1

        os.set_blocking(self._wake, False)
        before = {one: signal.signal(one, count) for one in self._heard}
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for one, handler in before.items():
                signal.signal(one, handler)

    def _end_hung(self) -> None:
        """Kill who serves and turns no more: the clients that it holds would wait for nothing. So who does not
        come to serve.
        """
        now = time.monotonic()
        if self._deadline is not None or now < self._looks_at:
            return
        # Where this process stood still too, as in a paused container, they have a moment to turn.
        stood_still = now - self._looks_at > self.look_seconds
        self._looks_at = now + self.look_seconds
        for one in self._running.values():
            turned = max(one.serves_since or one.started, self.counts.turned_at(one.number))
            least = 0.0 if one.serves_since else START_SECONDS
            if not stood_still and now - turned > max(self.hang_seconds, least):
                log.error("worker_hangs", worker=one.number, seconds=round(now - turned))
                os.kill(one.pid, signal.SIGKILL)

    def _wait(self) -> float:
        """Return how long there is nothing to do but to listen."""
        looks = self._looks_at if self._deadline is None else self._deadline
        return max(0.0, min([*self._due.values(), looks]) - time.monotonic())

    def _heed(self) -> None:
        """Do what the signals that came ask for, and end who does not end by the deadline."""
        if self._signals > self._heeded:
            self._heeded, first = self._signals, self._deadline is None
            if first:
                self._stop()
            else:
                self._tell(HURRY)
        if self._deadline is not None and time.monotonic() > self._deadline:
            log.error("workers_killed", workers=[one.number for one in self._running.values()])
            self._tell(signal.SIGKILL)
            self._deadline += KILLED_SECONDS

    def _stop(self) -> None:
        self._due.clear()
        self._deadline = time.monotonic() + self._stopping()
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for one in self._running.values():
            os.kill(one.pid, number)

    def _start_due(self) -> None:
        now = time.monotonic()
        for number in range(1, self.workers + 1):
            if self._due.get(number, math.inf) <= now:
                self._start(number)

    def _start(self, number: int) -> None:
        del self._due[number]
        now = time.monotonic()
        self.counts.begin(number)
        told, tell = os.pipe()
        # A signal that comes before the worker heeds it waits, and ends it then.
        signal.pthread_sigmask(signal.SIG_BLOCK, (*self._heard, HURRY))
        try:
            pid = os.fork()
        except OSError as problem:
            # The others serve on: memory or room for a process comes back.
            os.close(told)
            log.warning("worker_not_started", worker=number, problem=str(problem))
            self._died(Running(number=number, pid=0, started=now), LATER)
            return
        else:
            if pid == 0:
                self._become(number, tell)
            self._running[told] = Running(number=number, pid=pid, started=now)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (*self._heard, HURRY))
            os.close(tell)

    def _become(self, number: int, tell: int) -> NoReturn:
        """Be a worker, and end with its status."""
        status = ENDED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # From a terminal all get these; the parent tells us.
            for heard in (signal.SIGINT, signal.SIGHUP):
                signal.signal(heard, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (*self._heard, HURRY))
            os.environ.pop("NOTIFY_SOCKET", None)
            for one in (self._life, self._wake, self._wakes, *self._running):
                os.close(one)
            self._serve(number, self._lives, lambda: _say(tell))
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else ENDED
        except BaseException:  # noqa: BLE001 - the top of a process
            sys.excepthook(*sys.exc_info())
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError):  # A terminal that was closed, a full disk.
                    stream.flush()
            os._exit(status)

    def _hear(self, told: int) -> None:
        """Take what a worker says: that it takes requests, or, by its end, that it has ended."""
        one = self._running[told]
        if os.read(told, 1):
            one.serves_since = time.monotonic()
            serve = sum(each.serves_since is not None for each in self._running.values())
            if not self._began and serve == self.workers:
                self._began = True
                self._serving()
            return
        os.close(told)
        del self._running[told]
        status = os.waitstatus_to_exitcode(os.waitpid(one.pid, 0)[1])
        self.counts.end(one.number)
        if self._deadline is None:
            self._died(one, status)

    def _died(self, one: Running, status: int) -> None:
        since, now = one.serves_since, time.monotonic()
        if not self._began and since is None and status in (FAULT, LATER):
            self._status = status
            self._stop()
            return
        if since is not None and now - since >= SERVED_SECONDS:
            self._pauses.pop(one.number, None)
        pause = self._pauses.get(one.number, LEAST_PAUSE_SECONDS)
        self._pauses[one.number] = min(2 * pause, MOST_PAUSE_SECONDS)
        log.warning("worker_died", worker=one.number, status=status, again_in_seconds=pause)
        self._due[one.number] = now + pause


def _say(tell: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(tell, b"\1")
