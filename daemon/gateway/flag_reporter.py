"""FlagReporter: tells the daemon's machine on which flags this gateway acts, and how long requests take."""

import asyncio
import contextlib
import os
import time
from pathlib import Path

import structlog

from ...ops.flags.evaluator import FlagEvaluator
from ...ops.flags.gateway_report import GatewayReport, withdraw_report, write_report
from ...streams.state.this_host import boot, host_name, port_space
from ..engines.recent_latency import RecentLatency
from .settings import GatewaySettings

log = structlog.get_logger()

LOOK_SECONDS = 0.2
"""Between two looks at the flag file where no request comes."""
RENEW_SECONDS = 5.0
"""Between two reports of the same."""
BUSY_SECONDS = 1.0
"""Between two reports while people ask: how long that takes is never the same."""


def gateway_id(settings: GatewaySettings) -> str:
    """Return what tells this gateway from all others, the same after a restart on its port."""
    place = str(settings.port) if settings.port else f"pid{os.getpid()}"
    # Hosts may be called the same, and containers of one: two under one id are one, and a rollback is
    # complete with the first.
    which = ".".join(filter(None, (boot() if settings.flags_url else "", port_space())))
    return f"{settings.name}@{host_name()}:{place}" + (f"~{which}" if which else "")


class FlagReporter:
    """Writes a report beside the flag file, for a gateway that reads that file.

    Consumes: the evaluator's state; waits for: time; unblocked by: time, `stop`; produces: a small
    file, when the generation changes and every few seconds.
    """

    def __init__(
        self, settings: GatewaySettings, flags: FlagEvaluator, latency: RecentLatency
    ) -> None:
        self.flags, self.path, self.latency = flags, Path(settings.flags), latency
        self.gateway = gateway_id(settings)
        self._said: GatewayReport | None = None
        self._said_at = float("-inf")
        self._problem = ""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Report from now on."""
        self._task = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """Report no more: this gateway is waited for no longer."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(withdraw_report, self.path, self.gateway)

    async def look(self, now: float) -> None:
        """Take over the flags if they changed, and report where there is something to say."""
        self.flags.refresh(now)
        generation = 0 if self.flags.state is None else self.flags.state.generation
        if not generation or not self._has_news(generation, now):
            return
        report = GatewayReport(
            gateway=self.gateway,
            generation=generation,
            at=time.time(),
            p95_seconds=self.latency.p95(),
        )
        try:
            await asyncio.to_thread(write_report, self.path, report)
        except OSError as problem:
            self._note(f"{self.path}: {problem.strerror}")
            return
        self._said, self._said_at = report, now
        self._note("")

    def _has_news(self, generation: int, now: float) -> bool:
        said, passed = self._said, now - self._said_at
        if said is None or said.generation != generation or passed >= RENEW_SECONDS:
            return True
        if passed < BUSY_SECONDS:
            return False
        return said.p95_seconds is not None or self.latency.p95() is not None

    def _note(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("flag_report_not_written", problem=problem)
        self._problem = problem

    async def _go_on(self) -> None:
        while True:
            await self.look(time.monotonic())
            await asyncio.sleep(LOOK_SECONDS)
