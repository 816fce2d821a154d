"""The learner outlives its daemon, or does not outlive its batch: neither makes the loop lie.

Real daemon and learner processes on one state; a batch takes them long enough to be met in its middle on a busy machine.
"""

import os
import signal
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from lone_daemon import BATCH, LoneDaemon, Workshop, lives, state_of

from rlwd.learner.checkpoint.folder import sequences

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def shop(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A state of its own; each test starts daemons on it and goes on where the last one ended."""
    made = Workshop(tmp_path_factory.mktemp("deaths"), tiny_policy, passes=25, poll_seconds=0.05)
    yield made
    made.close()


@pytest.fixture(scope="module")
def first(shop: Workshop) -> LoneDaemon:
    """The first daemon, whose learner has made v0."""
    daemon = shop.daemon("first")
    daemon.start()
    shop.until(lambda: daemon.live.get("learner") == "waiting for episodes")
    return daemon


def learner_in_mid_batch(shop: Workshop, daemon: LoneDaemon, besides: int = 0) -> int:
    """Wait until a learner other than that one is at work; return its process id."""
    found = list[int]()

    def at_work() -> bool:
        live = daemon.live  # once: of two answers one may tell of the learner before
        pid = live.get("learner_pid")
        if str(live.get("learner", "")).startswith("step") and pid not in (None, besides):
            found.append(int(pid))
        return bool(found)

    shop.until(at_work)
    return found[-1]


def learner_stopped_in_mid_batch(shop: Workshop, daemon: LoneDaemon) -> int:
    """Say a batch, and stop the learner that is at it; return its process id."""
    shop.say()
    pid = learner_in_mid_batch(shop, daemon)
    os.kill(pid, signal.SIGSTOP)
    shop.until(lambda: state_of(pid) == "T")
    return pid


def paused_for_long(shop: Workshop, daemon: LoneDaemon) -> bool:
    """Pause a daemon between two transactions, and let its lease end; False where it was in one."""
    assert daemon.process is not None
    pid = daemon.process.pid
    daemon.signal(signal.SIGSTOP)
    shop.until(lambda: state_of(pid) == "T")
    try:
        shop.change("UPDATE leases SET seen = 0, host = 'another'")  # On its own it would be asked.
    except sqlite3.OperationalError:
        daemon.signal(signal.SIGCONT)
        return False
    return True


def blamed(shop: Workshop, deaths: int) -> bool:
    return shop.ask("SELECT deaths FROM batches") == [(deaths,)]


def test_three_deaths_on_one_batch_give_it_up_and_the_loop_goes_on(
    shop: Workshop, first: LoneDaemon
) -> None:
    """A batch that kills its learner three times is excluded by name, loudly; the next is learned.

    SIGKILL in mid-step is what the kernel's out-of-memory killer sends; a limit on memory would
    only choose another moment.
    """
    shop.say()
    pid = 0
    for deaths in (1, 2, 3):
        pid = learner_in_mid_batch(shop, first, besides=pid)
        os.kill(pid, signal.SIGKILL)
        shop.until(partial(blamed, shop, deaths))
    # What is told of it: until one is ready again, after a pause that grows with each death.
    shop.until(lambda: "ended 3 times in a row, last with status -9" in first.told("learner"))
    shop.until(lambda: not first.told("learner"))
    shop.until(lambda: shop.ask("SELECT state FROM batches") == [("skipped",)])
    assert shop.status()["fates"] == {"excluded:batch_failed": BATCH}
    (given_up,) = shop.manifests
    assert (given_up.applied, given_up.skipped) == ((), (1,))
    assert "the learner died 3 times on it" in first.log.read_text()
    shop.say()
    shop.until(lambda: [one.batch_id for one in shop.manifests] == [1, 2])
    shop.until(lambda: shop.status()["fates"].get("trained") == BATCH)
    assert shop.ask("SELECT state, deaths FROM batches ORDER BY batch_id") == [
        ("skipped", 3),
        ("applied", 0),
    ]


def test_a_learner_whose_daemon_was_killed_ends_and_the_next_one_does_its_work(
    shop: Workshop, first: LoneDaemon
) -> None:
    """Orphaned in mid-batch it ends by itself; of two learners only one is ever at work."""
    before = [one.batch_id for one in shop.manifests]
    shop.say()
    orphan = learner_in_mid_batch(shop, first)
    first.kill_alone()
    heir = shop.daemon("heir")
    heir.spawn()
    learner_in_mid_batch(shop, heir, besides=orphan)
    assert not lives(orphan)
    # In mid-step, and not only when it came to write a checkpoint that is no longer its to write.
    assert "this learner's lease" not in first.log.read_text()
    shop.until(lambda: len(shop.manifests) == len(before) + 1)
    shop.until(lambda: not shop.status()["batches"].get("sealed"))
    made = shop.manifests[-1]
    assert made.applied.count(len(before) + 1) == 1
    assert made.lease_epoch == heir.live["epoch"]


def test_a_learner_that_hangs_ends_with_its_daemon(shop: Workshop, first: LoneDaemon) -> None:
    """Stopped it reads no pipe, and would keep the folder from the next daemon's learner for ever."""
    daemon, heir = first if first.alive else shop.daemons[-1], shop.daemon("after the hang")
    shop.until(lambda: daemon.live.get("learner") == "waiting for episodes")
    before = len(shop.manifests)
    hung = learner_stopped_in_mid_batch(shop, daemon)
    daemon.kill_alone()
    shop.until(lambda: not lives(hung))
    heir.spawn()
    shop.until(lambda: len(shop.manifests) == before + 1)
    assert "held by the learner" not in heir.log.read_text()


def test_a_learner_that_was_paused_while_all_changed_writes_nothing(
    shop: Workshop, first: LoneDaemon
) -> None:
    """It kept its folder from everybody; with its lock taken away it still publishes nothing.

    Paused beside its daemon, as a machine's are that sleeps, it does not notice the next one. That one's learner
    is turned away by name, until somebody deletes the lock; then two learners live in one folder.
    """
    old = first if first.alive else shop.daemons[-1]
    new = shop.daemon("new")
    shop.until(lambda: old.live.get("learner") == "waiting for episodes")
    before = len(shop.manifests)
    paused = learner_stopped_in_mid_batch(shop, old)
    shop.until(lambda: paused_for_long(shop, old))
    new.spawn()
    turned_away = f"held by the learner with process id {paused}"
    shop.until(lambda: turned_away in new.tail(50))
    assert lives(paused)
    folder = shop.config.state_path / "checkpoints"
    (folder / "LOCK").unlink()
    learner_in_mid_batch(shop, new, besides=paused)
    os.kill(paused, signal.SIGCONT)
    # It goes on to the end of its batch: nobody has closed its pipe.
    shop.until(lambda: not lives(paused))
    assert "later_lease_rules" in old.log.read_text()
    shop.until(lambda: len(shop.manifests) > before)
    shop.until(lambda: not shop.status()["batches"].get("sealed"))
    made = shop.manifests[-1]
    assert made.lease_epoch == new.live["epoch"]
    assert made.applied.count(before + 1) == 1
    assert sequences(folder) == list(range(before + 2))
    assert not list(folder.glob(".new-*"))
    assert shop.status()["fates"].keys() <= {"trained", "excluded:batch_failed"}
