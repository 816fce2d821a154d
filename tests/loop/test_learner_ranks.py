"""A learner of two processes is one learner to its daemon: either one's death is the death of both.

A real daemon with both processes; a batch takes them some seconds.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import ForkServer
from lone_daemon import LoneDaemon, Workshop, lives
from rank_runs import RankRun, made_by_ranks

from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.process.protocol import Apply
from rlwd.learner.settings import LearnerProcessSettings

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def shop(tiny_policy: Path, tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path, tiny_policy, passes=15, poll_seconds=0.05, learner="processes = 2")
    yield made
    made.close()


def at_work(shop: Workshop, daemon: LoneDaemon, besides: int = 0) -> tuple[int, int]:
    """Wait until a learner is in the middle of a batch; return the process ids of both ranks."""
    found: list[int] = []

    def works() -> bool:
        # One answer of the page: of two, the first may speak of the learner that was killed.
        live = daemon.live
        pid = live.get("learner_pid")
        if pid in (None, besides) or not str(live.get("learner", "")).startswith("step"):
            return False
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found[:] = [int(pid), *map(int, children)]
        return len(found) == 2

    shop.until(works, 300.0)
    return found[0], found[1]


def test_killing_either_is_one_death(shop: Workshop, tmp_path: Path, forks: ForkServer) -> None:
    """The batch is applied again, to the bits of two ranks that nobody killed; nobody is left behind."""
    daemon = shop.daemon("daemon")
    daemon.start()
    shop.until(lambda: daemon.live.get("learner") == "waiting for episodes", 300.0)
    shop.say()
    first, other = at_work(shop, daemon)
    (batch,) = (shop.config.state_path / "batches").iterdir()
    shutil.copy(batch, tmp_path / batch.name)
    os.kill(other, signal.SIGKILL)
    shop.until(lambda: shop.ask("SELECT deaths FROM batches") == [(1,)])
    assert not lives(first)
    assert "its process of rank 1 ended with status -9" in daemon.log.read_text()
    second, other = at_work(shop, daemon, besides=first)
    os.kill(second, signal.SIGKILL)
    shop.until(lambda: shop.ask("SELECT deaths FROM batches") == [(2,)])
    shop.until(lambda: not lives(other))
    shop.until(lambda: len(shop.manifests) == 1, 300.0)
    (made,) = shop.manifests
    assert (made.applied, made.skipped) == ((1,), ())

    steady = LearnerProcessSettings(
        learner=shop.config.learner,
        policy=shop.config.policy,
        folder=str(tmp_path / "steady"),
        lease_epoch=made.lease_epoch,
    )
    again = Apply(path=str(tmp_path / batch.name))
    made_by_ranks([RankRun(settings=steady, commands=(again,))], tmp_path, forks)
    wanted = read_manifests(tmp_path / "steady")[-1]
    assert made.files == wanted.files
