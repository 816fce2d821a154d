"""Engine, gateway and daemon on one machine, for the examples to talk to."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forked import ForkServer
from forked_engine import ForkedEngine
from loop_processes import LoopProcesses

EXAMPLES = Path(__file__).parents[2] / "examples"
Run = Callable[..., list[str]]


@pytest.fixture(scope="session")
def running(
    tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory, forks: ForkServer
) -> Iterator[LoopProcesses]:
    """A whole rlwd that serves v0."""
    folder = tmp_path_factory.mktemp("connected")
    with ForkedEngine(forks, tiny_policy, tmp_path_factory.mktemp("engine")) as engine:
        processes = LoopProcesses(folder, tiny_policy, engine=engine, mlflow="", policy="rlwd")
        try:
            processes.start()
            yield processes
        finally:
            processes.stop()


@pytest.fixture
def run(running: LoopProcesses) -> Run:
    """Run an example as its page says, against that rlwd; return its lines."""

    def run_example(*command: str, folder: Path = EXAMPLES) -> list[str]:
        url = f"http://127.0.0.1:{running.gateway_port}"
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "RLWD_URL": url, "RLWD_TOKEN": "none", "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    return run_example
