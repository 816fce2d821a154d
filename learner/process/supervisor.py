"""Supervisor: starts the learner process, talks to it, and starts it again when it dies."""

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog

from ..settings import LearnerProcessSettings
from .child_pipe import pipe_to, unread
from .protocol import (
    CLOSED,
    NO_ROOM,
    Asking,
    Command,
    Ended,
    LearnerReady,
    Report,
    TrafficSlow,
    Waiting,
    Working,
    Yielding,
    decode_report,
    encode_line,
)
from .silence import Silence

log = structlog.get_logger()

BACKOFF_SECONDS = (0.0, 1.0, 5.0, 15.0, 60.0)
"""Waits before starting a learner that died again and again; the last one repeats."""
LAST_WORDS_SECONDS = 1.0
"""Longest wait for what a dead learner said at last: its pipe is closed already."""
UNREAD_BYTES = 4096
"""So much of its pipe that nobody reads is for commands: a child that was stopped is told no more of traffic."""
DEATHS_TOLD = 3
"""Deaths in a row after which a learner that is not ready is told of."""
STEADY_SECONDS = 300.0
"""A learner that was ready and lived for so long starts over with the first wait."""


class LearnerSupervisor:
    """Keeps one learner process alive; it may be killed at any time.

    One thread reads its lines (consumes: the child's stdout; waits for: a line; unblocked by: the
    child's death; produces: reports in a queue). The caller owns everything else.
    """

    def __init__(self, settings: LearnerProcessSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.process: subprocess.Popen[bytes] | None = None
        self.silence = Silence(settings.learner)
        self.deaths, self.started_at = 0, 0.0
        self.deaths_in_all = 0
        """Deaths under this daemon; `deaths` are those in a row."""
        self._last_status = 0
        self.refusal: str | None = None
        """Why the last one could not start or go on, in its own words, until one is ready again."""
        self.ready = False
        """Whether the one that runs said that it can learn; one that is killed at each start never does."""
        self.waiting = ""
        """What it waits for, in its own words; empty where it waits for nobody."""
        self._made_way: tuple[float, Yielding | None] = (0.0, None)
        """Seconds of its pauses for people's requests that are over, and the one that it is in."""
        self._reader: threading.Thread | None = None
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id, where there is a process."""
        return None if self.process is None else self.process.pid

    @property
    def comes_back(self) -> bool:
        """True of one that is ready, or has not died often enough in a row for doubt that it will be."""
        return self.ready or self.deaths < DEATHS_TOLD

    @property
    def trouble(self) -> str | None:
        """What to tell an operator of a learner that died and is not steady again; else None."""
        if not self.deaths:
            return None
        times = "once" if self.deaths == 1 else f"{self.deaths} times in a row"
        if self.refusal is not None:
            return f"ended {times}: {self.refusal}"
        return f"ended {times}, last with status {self._last_status}; its log lines say why"

    @property
    def yields(self) -> str:
        """What to show of a learner that makes way for people's requests; empty of one that does not."""
        _, pause = self._made_way
        return "" if pause is None else f"yielding to traffic for {pause.seconds:.0f} s"

    @property
    def yielded_seconds(self) -> float:
        """How long learners under this daemon made way in all."""
        over, pause = self._made_way
        return over + (0.0 if pause is None else pause.seconds)

    def problem(self, begun: bool) -> str | None:
        """Return what to tell an operator; `begun` says whether there is a checkpoint to go on from."""
        if self.waiting:
            return self.waiting
        if begun and self.refusal is None and self.comes_back:
            return None
        return self.trouble or "starting"

    def reap(self, now: float) -> bool:
        """Notice a death; return True once for each. One that hangs is killed."""
        if self.process is None or self.process.poll() is None:
            self._end_if_it_hangs(now)
            return False
        if self._reader is not None:
            self._reader.join(LAST_WORDS_SECONDS)
        log.warning(
            "learner_died",
            returncode=self.process.returncode,
            pid=self.process.pid,
            reason=self.refusal,
        )
        self._last_status = self.process.returncode
        self.deaths_in_all += 1
        # One that needs minutes to load its model is not steady before it has done so.
        steady = self.ready and now - self.started_at > STEADY_SECONDS
        self.deaths = 1 if steady else self.deaths + 1
        with contextlib.suppress(BrokenPipeError):
            pipe_to(self.process).close()
        self.process, self.waiting, self.ready = None, "", False
        self._made_way = self.yielded_seconds, None
        # Unread reports of the dead process go too: nobody is left to receive an answer to `asking`.
        self._reports = queue.SimpleQueue()
        return True

    def _end_if_it_hangs(self, now: float) -> None:
        if self.process is not None and self.silence.too_long(now):
            at = "in the middle of its work" if self.ready else "while it started"
            silent = f"said nothing for {self.silence.most_seconds:.0f} s {at}"
            log.error("learner_hangs", pid=self.process.pid, problem=silent)
            self.refusal = f"it {silent} and was killed (learner.hang_seconds)"
            self.silence.begin()  # What the kernel cannot end now is killed again after as long.
            self.process.kill()

    def blamed(self, batch_id: int | None) -> int | None:
        """Return which batch's fault the last death was; None of one that could write no checkpoint, or
        whose training service does nothing for anybody.
        """
        return None if self._last_status in (NO_ROOM, CLOSED) else batch_id

    def refuse(self, digests: Iterable[str]) -> None:
        """Tell the next child which weights it may not start from."""
        self.settings = msgspec.structs.replace(self.settings, quarantined=tuple(digests))

    def ensure(self, now: float) -> None:
        """Start the process where there is none and its wait is over."""
        wait = BACKOFF_SECONDS[min(self.deaths, len(BACKOFF_SECONDS) - 1)]
        if self.process is None and now - self.started_at >= wait:
            self._start(now)

    def send(self, command: Command | TrafficSlow) -> None:
        """Give the child its next command, or say how people's requests are; where it died, `reap` will say so."""
        assert self.process is not None, "no learner to command"
        pipe = pipe_to(self.process)
        if isinstance(command, TrafficSlow) and unread(pipe) > UNREAD_BYTES:
            return  # A full pipe would hold up the loop; it is said again.
        if not isinstance(command, TrafficSlow):
            self.silence.begin()  # It may have answered before this goes on.
        try:
            pipe.write(encode_line(command))
            pipe.flush()
        except BrokenPipeError:
            log.warning("learner_gone", command=type(command).__name__)

    def reports(self) -> list[Report]:
        """Return what the child said since the last call."""
        found: list[Report] = []
        while True:
            try:
                found.append(self._reports.get_nowait())
            except queue.Empty:
                return found

    def stop(self, seconds: float) -> bool:
        """Close the pipe, which ends the child even in mid-step; False where it had to be killed."""
        if self.process is None:
            return True
        with contextlib.suppress(BrokenPipeError):
            pipe_to(self.process).close()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        finally:
            self.process = None
        return True

    def _start(self, now: float) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "learner.json"
        settings.write_bytes(msgspec.json.encode(self.settings))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rlwd.learner.process.main", "--settings", str(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **self._threads()},
        )
        self.started_at = now
        self._reports, self.silence = queue.SimpleQueue(), Silence(self.settings.learner)
        self.silence.begin()
        pipe = (self.process, self._reports, self.silence)
        self._reader = threading.Thread(
            target=self._read, args=pipe, name="learner-pipe", daemon=True
        )
        self._reader.start()

    def _threads(self) -> dict[str, str]:
        """Return how many it computes with; the one of the daemon's own numpy is not for it."""
        count = self.settings.learner.threads
        return {"OPENBLAS_NUM_THREADS": str(count or "")} | (
            {"OMP_NUM_THREADS": str(count)} if count else {}
        )

    def _read(
        self,
        process: "subprocess.Popen[bytes]",
        reports: "queue.SimpleQueue[Report]",
        silence: Silence,
    ) -> None:
        assert process.stdout is not None, "learner without a pipe"
        with process.stdout as lines:
            for line in lines:
                try:
                    report = decode_report(line)
                    silence.heard(idle=isinstance(report, Asking))
                    if isinstance(report, Ended | LearnerReady):
                        self.refusal = report.reason if isinstance(report, Ended) else None
                        self.ready = isinstance(report, LearnerReady)
                    if isinstance(report, Waiting):
                        self.waiting = report.reason
                    if isinstance(report, Yielding):
                        over, _ = self._made_way
                        self._made_way = (
                            (over + report.seconds, None) if report.over else (over, report)
                        )
                    elif not isinstance(report, Working):
                        reports.put(report)
                except ValueError:  # msgspec's, or of bytes that are no text
                    log.warning("learner_said", line=line.decode(errors="replace").rstrip())
