"""Version command: the server of one version, as a child process on a free loopback port."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

from ..servers.process import LOOPBACK, Server, answers, free_port
from ..servers.vllm_server import ENTRY, QUIET
from .settings import RouterSettings


class ServedFolder(NamedTuple):
    """A version and where it lies."""

    version: str
    """By which name the server knows its model."""
    path: Path
    """Its Hugging Face folder."""
    dtype: str
    """The precision of its weights: `learner.dtype`."""


def version_server(
    settings: RouterSettings, served: ServedFolder, log: Path, device: str
) -> tuple[Server, str]:
    """Return the server of a version, not started yet, and its address."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    command, environment = ENGINES[settings.server](served, port)
    if device:
        environment["CUDA_VISIBLE_DEVICES"] = device
    server = Server(
        [*command, *settings.arguments],
        name=f"the server of {served.version}",
        log=log,
        healthy=answers(f"{url}/health"),
        environment=environment,
        start_seconds=settings.start_seconds,
        tether=True,
    )
    return server, url


def _vllm(served: ServedFolder, port: int) -> tuple[list[str], dict[str, str]]:
    """vLLM, told what the records of answers need: log-probabilities as drawn, and nobody's defaults."""
    told: dict[str, object] = {
        "--model": served.path,
        "--served-model-name": served.version,
        "--host": LOOPBACK,
        "--port": port,
        "--dtype": served.dtype,
        "--logprobs-mode": "processed_logprobs",
        "--generation-config": "vllm",
    }
    words = [str(part) for pair in told.items() for part in pair]
    command = [sys.executable, "-m", ENTRY, *words, "--enable-prompt-tokens-details"]
    return command, dict(QUIET)


def _embedded(served: ServedFolder, port: int) -> tuple[list[str], dict[str, str]]:
    command = [
        *(sys.executable, "-m", "rlwd.ops.embedded.main", "--model", str(served.path)),
        *("--name", served.version, "--port", str(port)),
    ]
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    return command, {
        "OMP_NUM_THREADS": threads,
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


ENGINES = {"vllm": _vllm, "embedded": _embedded}
