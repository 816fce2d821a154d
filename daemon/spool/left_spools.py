"""LeftSpools: spools of workers that a gateway has no more; what they hold still goes to the log."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from .folder import SpoolBusy
from .forwarder import Forwarder
from .spool import Spool

log = structlog.get_logger()

RETRY_SECONDS = 5.0


class LeftSpools:
    """Sends what workers before this life left, for as long as this process lives.

    A folder that another process still has is tried again. What a worker counted as lost stays in its
    folder, where the audit reads it.
    """

    def __init__(self, folders: Sequence[Path], open_one: Callable[[Path], Forwarder]) -> None:
        """`open_one` raises SpoolBusy, OSError or ValueError where a folder cannot be had."""
        self.forwarders: list[Forwarder] = []
        """Of those that are open."""
        self._folders, self._open_one = list(folders), open_one
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, beside the requests."""
        if self._folders:
            self._task = asyncio.create_task(self._take_all())

    async def stop(self, seconds: float) -> None:
        """Send what is left, for so long at most; the rest stays on disk."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        stops = (asyncio.to_thread(one.stop, seconds) for one in self.forwarders)
        for one, left in zip(self.forwarders, await asyncio.gather(*stops), strict=True):
            if left:
                log.warning("records_stay_spooled", records=left, folder=str(one.spool.folder))
            one.spool.close()

    @property
    def spools(self) -> list[Spool]:
        """Those that are open."""
        return [one.spool for one in self.forwarders]

    async def _take_all(self) -> None:
        said = ""
        while self._folders:
            for folder in list(self._folders):
                try:
                    forwarder = await asyncio.shield(asyncio.to_thread(self._open_one, folder))
                except (SpoolBusy, OSError, ValueError) as problem:
                    if str(problem) != said:
                        said = str(problem)
                        log.warning("spool_left_alone", folder=str(folder), problem=said)
                    continue
                self._folders.remove(folder)
                self.forwarders.append(forwarder)
                forwarder.start()
                log.info("spool_taken_over", folder=str(folder), records=forwarder.spool.unsent)
            if self._folders:
                await asyncio.sleep(RETRY_SECONDS)
