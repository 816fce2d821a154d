"""Serve: runs a router until it is told to end; before it begins it says what that takes of disk and memory."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import structlog
from aiohttp import web

from ...streams.ending_signals import ending_signals
from ..servers.process import STOP_SECONDS as SERVER_SECONDS
from .router_app import RouterApp
from .served_versions import ServedVersions
from .settings import RouterSettings
from .version_server import PROBE_SECONDS, ServerTerms

log = structlog.get_logger()

STOP_SECONDS = 5.0
"""How long answers under way may take to end after SIGTERM."""
END_SECONDS = STOP_SECONDS + PROBE_SECONDS + SERVER_SECONDS
"""How long it may take after SIGTERM: then one server may be being proven, and has to end."""
GIB = 1 << 30
MEMORY = Path("/proc/meminfo")


def check_room(settings: RouterSettings, base: Path, folder: Path) -> None:
    """Log what the slots take of disk and memory; ValueError, naming `router.folder`, where the disk is too small.

    Of each slot a model's size in memory, beside what its server needs for answers; on disk as much, but for
    v0, which is the base model's folder, and once more for a version that is being written.
    """
    size = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    free, needed = shutil.disk_usage(folder).free, settings.slots * size - there
    memory = _available_memory()
    log.info(
        "router_takes",
        slots=settings.slots,
        model_gib=round(size / GIB, 3),
        disk_needed_gib=round(max(needed, 0) / GIB, 3),
        disk_free_gib=round(free / GIB, 3),
        memory_needed_gib=round(settings.slots * size / GIB, 3),
        memory_available_gib=None if memory is None else round(memory / GIB, 3),
    )
    if needed > free:
        raise ValueError(
            f"router.folder: {folder}: {settings.slots} versions of {size / GIB:.1f} GiB need"
            f" {needed / GIB:.1f} GiB more, and {free / GIB:.1f} are free"
        )


def _available_memory() -> int | None:
    """Bytes of the host's memory that can be had; None where the kernel does not say."""
    try:
        lines = MEMORY.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvail")) << 10
    except (OSError, StopIteration):
        return None


async def serve(
    terms: ServerTerms,
    base: Path,
    token: str,
    *,
    ready: Callable[[], object] = lambda: None,
    ending: Callable[[float], object] = lambda _: None,
) -> None:
    """Serve until a signal that ends; then answers under way end, and all servers.

    `ready` is called once requests are taken, and `ending` with the longest time, in seconds, that the end takes.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in ending_signals():
        loop.add_signal_handler(number, stop.set)
    versions = ServedVersions(terms)
    runner = web.AppRunner(
        RouterApp(versions, base, token).application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=STOP_SECONDS,
    )
    await runner.setup()
    settings = terms.settings
    try:
        await web.TCPSite(runner, settings.host, settings.port, backlog=1024).start()
        log.info("router_listens", url=f"http://{settings.host}:{settings.port}")
        ready()
        await stop.wait()
        ending(END_SECONDS)
    finally:
        await runner.cleanup()
        await asyncio.to_thread(versions.end)
