"""Bench doors: the servers behind the bench of the gateway, started for it and stopped with it."""

import contextlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rlwd.learner.candidate import version_name
from rlwd.learner.digests import adapter_digest
from rlwd.ops.flags.assignment import ServedVersion
from rlwd.ops.flags.flag_file import write_flags
from rlwd.ops.flags.flag_state import FlagState, to_document
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.process import LOOPBACK, Server, answers, free_port
from rlwd.ops.servers.vllm_server import VllmServer

# Torch stays out of this process, as out of all of daemon/.
MAKE = """
import sys
from pathlib import Path
from rlwd.learner.train.load import load_policy
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.tiny.model import make_tiny_policy
model, adapter = map(Path, sys.argv[1:])
make_tiny_policy(model, seed=0, steps=0)
load_policy(LearnerSettings(model=str(model), device="cpu", lora_rank=8)).save_adapter(adapter)
"""

CONFIG = """\
policy = "policy"
state = "state"

[learner]
model = "{model}"

[gateway]
port = {port}
workers = {workers}
engines = ["{engine}"]
"""


def make_policy(folder: Path, say: Callable[[str], None]) -> tuple[Path, ServedVersion, Path]:
    """Make a tiny policy and its zero adapter; return model, version and adapter folder."""
    say("gateway: making a tiny policy and its zero adapter")
    model, aside = folder / "policy", folder / "adapter"
    subprocess.run([sys.executable, "-c", MAKE, str(model), str(aside)], check=True)
    digest = adapter_digest(aside)
    version = ServedVersion(version=version_name("policy", 0, digest), digest=digest)
    return model, version, aside.rename(folder / version.version)


@contextlib.contextmanager
def real_engine(model: Path, folder: Path) -> Iterator[tuple[VllmServer | EmbeddedServer, str]]:
    """Run vLLM where it is installed, else the embedded engine; yield it and its name."""
    if importlib.util.find_spec("vllm") is not None:
        with VllmServer(model, folder) as vllm:
            yield vllm, "vLLM"
    else:
        with EmbeddedServer(model, folder) as engine:
            yield engine, "the embedded engine (no vLLM here)"


@contextlib.contextmanager
def fake_engine(folder: Path) -> Iterator[str]:
    """Run an engine that answers at once, without a model; yield its address."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    with Server(
        [sys.executable, "-m", "bench_engine", "--port", str(port)],
        name="fake engine",
        log=folder / "fake.log",
        healthy=answers(f"{url}/health"),
    ):
        yield url


@contextlib.contextmanager
def gateway(folder: Path, engine: str, version: ServedVersion, workers: int = 1) -> Iterator[str]:
    """Run `rlwd gateway` before an engine; everybody gets the one version."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    (folder / "state").mkdir(parents=True)
    config = folder / "rlwd.toml"
    policy = folder.parent / "policy"
    config.write_text(CONFIG.format(model=policy, port=port, engine=engine, workers=workers))
    state = FlagState(policy="policy", generation=1, salt="bench", champion=version, anchor=version)
    write_flags(folder / "state" / "flags.json", to_document(state))
    with Server(
        [sys.executable, "-m", "rlwd.daemon", "gateway", "--config", str(config)],
        name="gateway",
        log=folder / "gateway.log",
        healthy=answers(f"{url}/readyz"),
    ):
        yield url
