"""A daemon whose learner's tensors are at a training service: from feedback to the version that an engine serves.

Real daemon, learner, client library and embedded engine; the service is a stand-in that trains for real.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from forked import ForkServer
from forked_engine import ForkedEngine
from lone_daemon import BATCH, LoneDaemon, Workshop
from stand_in_server import BASE, StandInServer

from rlwd.daemon.audit.audit import audit
from rlwd.daemon.store import existing_store
from rlwd.learner.checkpoint.folder import checkpoint_path
from rlwd.learner.service.service_state import ServiceState
from rlwd.ops.servers.process import NO_TLS

pytestmark = pytest.mark.timeout(1200)

PATIENCE = 400.0
"""Seconds that a busy machine has for what takes a few."""
LEARNER = """\
kl_weight = 0.0
estimator = "tracker"
[learner.service]
url = "{url}"
model = "{model}"
key = "{key}"
timeout_seconds = 120.0
"""


@pytest.fixture
def stand_in(tiny_policy: Path, tmp_path: Path) -> Iterator[StandInServer]:
    with StandInServer(tiny_policy, tmp_path / "service", rank=4) as server:
        yield server


@pytest.fixture
def shop(
    tiny_policy: Path, tmp_path: Path, stand_in: StandInServer, forks: ForkServer
) -> Iterator[Workshop]:
    """A state whose learner is at the stand-in, with an engine of its own."""
    (tmp_path / "engine").mkdir()
    learner = LEARNER.format(url=stand_in.url, model=BASE, key=stand_in.key())
    engine = ForkedEngine(forks, tiny_policy, tmp_path / "engine")
    engine.start_seconds = PATIENCE
    with engine:
        made = Workshop(
            tmp_path,
            tiny_policy,
            passes=3,
            poll_seconds=0.05,
            learner=learner,
            engine=engine.url,
        )
        yield made
        made.close()


def served(shop: Workshop) -> list[str]:
    """What the engine has, by its own account."""
    answer = httpx.get(f"{shop.engine}/v1/models", timeout=10.0, verify=NO_TLS).json()
    return [one["id"] for one in answer["data"]]


def kill_in_mid_batch(shop: Workshop, daemon: LoneDaemon, stand_in: StandInServer) -> None:
    """Kill the daemon once some of the batch's steps were made at the service, and not all."""
    before = stand_in.counts["steps"]
    stand_in.order(*[("optim_step", "slow", 1)] * 100)
    shop.until(lambda: stand_in.counts["steps"] > before + 1, PATIENCE)
    daemon.kill_alone()
    stand_in.well()


def test_a_batch_is_learned_once_and_its_version_served(
    shop: Workshop, stand_in: StandInServer
) -> None:
    """Killed in mid-batch, with steps made that nobody keeps: the next daemon's application is the only one.

    Half of the answers were drawn at a temperature of which a service says nothing: KTO learns from them.
    """
    first = shop.daemon("first")
    first.start_seconds = PATIENCE
    first.start()
    shop.until(lambda: first.live.get("learner") == "waiting for episodes", PATIENCE)
    shop.say(temperatures=(1.0, 0.5))
    kill_in_mid_batch(shop, first, stand_in)
    assert shop.manifests == []
    heir = shop.daemon("heir")
    heir.spawn()
    shop.until(lambda: shop.status()["fates"] == {"trained": BATCH}, PATIENCE)
    (made,) = shop.manifests
    assert (made.batch_id, made.applied) == (1, (1,))
    named = checkpoint_path(shop.config.state_path / "checkpoints", made.sequence) / "service.json"
    kept = msgspec.json.decode(named.read_bytes(), type=ServiceState)
    assert kept.steps == made.metrics["steps"] == 6
    assert made.metrics["lane/kto/units"] == BATCH / 2
    assert stand_in.counts["steps"] > kept.steps
    store = existing_store(shop.config)
    with store.reading() as view:
        found = audit(view, "policy", shop.manifests)
    store.close()
    assert found.closes, found.problems
    # It has its own name there only once it gave the probe the log-probabilities that the service gave.
    shop.until(lambda: made.version in served(shop), PATIENCE)
    asked = {"model": made.version, "prompt": [5, 6, 7], "max_tokens": 2}
    answer = httpx.post(f"{shop.engine}/v1/completions", json=asked, timeout=60.0, verify=NO_TLS)
    assert answer.status_code == 200, answer.text
