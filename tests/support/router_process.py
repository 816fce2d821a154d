"""RouterProcess: a real `rlwd router` with the embedded engine behind it, and versions of full weights for it."""

import sys
from pathlib import Path

import httpx
import msgspec
from tiny_learner import TINY
from waiting import until

from rlwd.learner.candidate import Candidate
from rlwd.learner.checkpoint.folder import candidate_of
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.engine.port import StillStarting
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, answers, free_port

ROUTER = """\
[router]
port = {port}
server = "{server}"
{more}
"""
CPU_VLLM = 'arguments = ["--enforce-eager", "--no-enable-chunked-prefill", "--max-model-len=1024"]'


class RouterProcess(Server):
    """`rlwd router` by a config file."""

    def __init__(self, config: Path, port: int) -> None:
        self.port, self.url = port, f"http://{LOOPBACK}:{port}"
        super().__init__(
            [sys.executable, "-m", "rlwd.daemon", "router", "--config", str(config)],
            name="router",
            log=config.with_name("router.log"),
            healthy=answers(f"{self.url}/health"),
            environment={"OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"},
        )

    def servers(self) -> dict[str, dict[str, str]]:
        """Return what it tells of each server, by version; pid is of what holds it."""
        page = httpx.get(f"{self.url}/metrics", timeout=30.0, verify=NO_TLS).text
        found = {}
        for line in page.splitlines():
            if line.startswith("rlwd_router_server_info{"):
                inside = line[line.index("{") + 1 : line.rindex("}")]
                labels = dict(one.split("=", 1) for one in inside.split(","))
                told = {name: value.strip('"') for name, value in labels.items()}
                found[told["version"]] = told
        return found


def child_of(pid: int | str) -> int | None:
    """Return the only child of a process: the server itself, below what holds it; None where it is gone."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def load(engine: HttpEngine, candidate: Candidate) -> None:
    """Load a version, and wait for its server where one has to be started."""

    def there() -> bool:
        try:
            engine.load(candidate.version, candidate.path)
        except StillStarting:
            return False
        return True

    until(there, 300.0, pause=0.1)


def router_for(
    folder: Path, model: Path, *, server: str = "embedded", more: str = ""
) -> RouterProcess:
    """Return a router of this folder's state, not started yet."""
    port = free_port()
    (folder / "rlwd.toml").write_text(
        f'[learner]\nmodel = "{model}"\nweights = "full"\n'
        + ROUTER.format(port=port, server=server, more=more)
    )
    return RouterProcess(folder / "rlwd.toml", port)


def full_versions(folder: Path, model: Path) -> tuple[Candidate, Candidate]:
    """Write v0, which is the base model, and a version of full weights that differs; into a state folder."""
    import torch

    from rlwd.learner.checkpoint.write import Checkpoints, Origin
    from rlwd.learner.train.state import Learner

    learner = Learner(msgspec.structs.replace(TINY, model=str(model), weights="full"))
    checkpoints = Checkpoints(folder / "state" / "checkpoints", policy="policy", lease_epoch=0)
    made = []
    for parent in (None, 0):
        if parent is not None:
            with torch.no_grad():
                learner.policy.trainable()["lm_head.weight"][60:90] += 1.0
            learner.policy.settle()
        origin = Origin(parent_sequence=parent, probe=learner.probe(), metrics={})
        made.append(checkpoints.write(learner, origin, now=0.0))
    first, second = (candidate_of(folder / "state" / "checkpoints", one) for one in made)
    return first, second
