"""The embedded engine: a Hugging Face model and its adapters behind vLLM's HTTP, in one process."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from ...streams.ending_signals import ending_signals
from ...streams.logs import log_to_stderr
from ...streams.quick_imports import quick_imports

with quick_imports():
    from .app import EngineApp
    from .decoder import Decoder
    from .replies import BASE

log = structlog.get_logger()

STOP_SECONDS = 5.0
"""How long answers under way may take to end after SIGTERM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSettings:
    """What `python -m rlwd.ops.embedded.main` is told."""

    model: Path
    """Hugging Face folder."""
    port: int
    """Where it listens."""
    host: str = "127.0.0.1"
    """Address it listens on."""
    threads: int = 1
    """Threads of one matrix product."""
    max_rows: int = 64
    """Requests in the running batch at most; others wait."""
    device: str = "cpu"
    """Where the model lives."""
    name: str = BASE
    """What the model without an adapter is called."""


async def serve(settings: EmbeddedSettings) -> None:
    """Serve until a signal that ends; raise what ended the decoder if anything did."""
    decoder = Decoder(
        settings.model,
        threads=settings.threads,
        max_rows=settings.max_rows,
        device=settings.device,
    )
    decoder.start()
    stop = asyncio.Event()
    for number in ending_signals():
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        EngineApp(settings.model, decoder, settings.name).application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=STOP_SECONDS,
    )
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port, backlog=1024).start()
    log.info("engine_listens", url=f"http://{settings.host}:{settings.port}")
    ended: asyncio.Future[Any] = asyncio.wrap_future(decoder.ended)
    asked: asyncio.Future[Any] = asyncio.create_task(stop.wait())
    await asyncio.wait([ended, asked], return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        ended.result()
    await runner.cleanup()
    decoder.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="rlwd engine", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face folder")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-rows", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--name", default=BASE, help="what the model without an adapter is called")
    settings = EmbeddedSettings(**vars(parser.parse_args(arguments)))
    if not (settings.model / "config.json").is_file():
        # Here, because the libraries below would take it for a name and ask a hub for it.
        parser.error(f"--model: {settings.model}: no folder of a Hugging Face model (config.json)")
    log_to_stderr("engine")
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main(sys.argv[1:])
