"""A rollout rig on a daemon's own state folder, so that commands and the rig see the same tables."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway_rig import LoopThread, wait_for
from rollout_rig import RolloutRig

from rlwd.daemon.config import Config, load_config
from rlwd.ops.servers.process import free_port

CONFIG = """\
state = "state"
[learner]
model = "nothing-here"
[http]
port = {port}
[engine]
urls = ["http://127.0.0.1:1"]
[rollout]
"""


def config_of(folder: Path, rollout: str) -> Config:
    """Write a config with these keys of `[rollout]`, without engine or model."""
    path = folder / "rlwd.toml"
    path.write_text(CONFIG.format(port=free_port()) + rollout)
    (folder / "state").mkdir()
    return load_config(path)


@contextmanager
def rig_on(config: Config) -> Iterator[RolloutRig]:
    """Open gateway, engine and release on the config's state; v0 serves."""
    loop = LoopThread()
    with ExitStack() as stack:
        stack.callback(loop.close)
        yield RolloutRig(config.state_path, loop, stack, config.rollout)


def wait_for_gateway(rig: RolloutRig, generation: int) -> None:
    """Wait until the gateway acts on a flag file of this generation, or a later one."""
    wait_for(lambda: (rig.client.get("/readyz").json()["flag_generation"] or 0) >= generation)
