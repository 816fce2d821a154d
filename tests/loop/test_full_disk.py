"""The checkpoints' disk is full: real daemon and learner processes on a small disk of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lone_daemon import BATCH, Workshop
from procedures_only import procedures_only
from small_disk import fill_up, small_disk

pytestmark = [
    pytest.mark.timeout(900),
    procedures_only("a learner is started five times"),
]


@pytest.fixture
def shop(tiny_policy: Path, tmp_path: Path) -> Iterator[Workshop]:
    """A state whose checkpoints have 16 MB."""
    disk = tmp_path / "state" / "checkpoints"
    disk.mkdir(parents=True)
    with small_disk(disk, 16):
        if not disk.is_mount():
            pytest.skip("no small disk can be mounted here")
        made = Workshop(tmp_path, tiny_policy, passes=1, poll_seconds=0.05)
        yield made
        made.close()


def test_a_batch_is_kept_until_there_is_room(shop: Workshop) -> None:
    """The learner ends for it more often than a batch may kill it, and says why; with room it is learned."""
    daemon = shop.daemon("daemon")
    daemon.start()
    shop.until(lambda: daemon.live.get("learner") == "waiting for episodes")
    ballast = shop.config.state_path / "checkpoints" / "ballast"
    fill_up(ballast)
    shop.say()
    said = "its disk is full: make room; the batch is kept"
    shop.until(
        lambda: f"ended 4 times in a row: {ballast.parent}: {said}" in daemon.told("learner")
    )
    assert shop.ask("SELECT state, deaths FROM batches") == [("sealed", 0)]
    assert not list(ballast.parent.glob(".new-*"))
    ballast.unlink()
    shop.until(lambda: shop.status()["fates"].get("trained") == BATCH)
    shop.until(lambda: not daemon.told("learner"))
    assert [one.batch_id for one in shop.manifests] == [1]
