"""Examined: when a demo's versions are asked: before the people come, after they went, and once each as champion."""

import asyncio
from typing import Any

from .processes import DemoProcesses
from .scene import Exam


class Examined:
    """One demo's sittings; does nothing where there is no exam."""

    def __init__(self, exam: Exam | None, processes: DemoProcesses) -> None:
        self._exam, self._processes = exam, processes
        self._champion = ""
        self._sitting: asyncio.Task[None] | None = None

    async def first(self) -> None:
        """Ask the first version all there is to ask, once the daemon names it."""
        if self._exam is None:
            return
        live: dict[str, Any] = {}
        while not champion_of(live):
            await asyncio.sleep(0.2)
            live = await asyncio.to_thread(self._processes.live)
        await self.whole(live, 0)

    async def whole(self, live: dict[str, Any], answers: int) -> None:
        """Ask the champion all there is to ask, when the sitting under way is over."""
        if self._sitting is not None:
            await self._sitting
        self._champion = champion_of(live) or self._champion
        if self._exam is not None:
            assert self._champion, "examined before there is a champion"
            await self._exam.ask(
                self._processes.engine_url, self._champion, whole=True, answers=answers
            )

    def little(self, live: dict[str, Any], answers: int) -> None:
        """Ask a champion that is new a little, beside the people; one sitting at a time."""
        champion = champion_of(live)
        if self._exam is None or not champion or champion == self._champion:
            return
        if self._sitting is not None and not self._sitting.done():
            return
        self._champion = champion
        self._sitting = asyncio.create_task(
            self._exam.ask(self._processes.engine_url, champion, whole=False, answers=answers)
        )


def champion_of(live: dict[str, Any]) -> str:
    """Return the champion that the daemon names; empty where it did not answer."""
    return str(live.get("live", {}).get("champion", ""))
