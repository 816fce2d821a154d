"""Release and recovery, with a real learner's checkpoints and a real embedded engine, step by step."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import pytest
from daemon_by_hand import fill, open_daemon_ledger
from forked import ForkServer
from forked_engine import ForkedEngine
from ledger_by_hand import Ledger
from releases_by_hand import at_once, spoil
from tiny_learner import TINY

from rlwd.daemon.audit.audit import audit
from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import checkpoint_path, newest_valid, read_manifests
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.batches_table import pending_batch, write_batch
from rlwd.learner.ledger.checkpoints_table import record_checkpoints, reopen_lost
from rlwd.learner.ledger.lineage import Lineage
from rlwd.learner.ledger.ready import Age
from rlwd.learner.ledger.seal import seal
from rlwd.learner.process.protocol import Apply, RollBackTo
from rlwd.learner.process.worker import Worker
from rlwd.learner.settings import LearnerProcessSettings
from rlwd.ops.engine.fleet import Fleet
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.gate.gate_run import GateRun
from rlwd.ops.rollout import candidates_table, rollouts_table
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.rollout.release import Release
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.gate import GateSettings

POLICY = "policy"


@dataclass
class Shop:
    """A ledger with ready episodes, a learner in this process, and an engine in its own."""

    ledger: Ledger
    folder: Path
    model: Path
    server: EmbeddedServer
    release: Release

    def worker(self) -> Worker:
        """Start a learner, as after a death of the last one."""
        learner = msgspec.structs.replace(TINY, model=str(self.model), passes=1, threads=1)
        return Worker(
            LearnerProcessSettings(
                learner=learner, policy=POLICY, folder=str(self.checkpoints), lease_epoch=0
            )
        )

    @property
    def checkpoints(self) -> Path:
        """The checkpoint folder."""
        return self.folder / "checkpoints"

    def seal(self, parent: int, max_policy_age: int = 8, age: Age = lambda version: 0) -> Path:
        """Seal a batch of all that is ready, or find the one that waits; return its file."""
        with self.ledger.store.transaction() as tx:
            if pending_batch(tx, POLICY) is None:
                sealed = seal(
                    tx,
                    POLICY,
                    BatchSettings(episodes=8, held_out=0.0),
                    parent_sequence=parent,
                    max_policy_age=max_policy_age,
                    age=age,
                    now=2000.0,
                )
                assert sealed is not None
            waiting = pending_batch(tx, POLICY)
            assert waiting is not None
        return write_batch(self.folder / "batches", waiting[0], waiting[1])

    def record(self) -> Manifest:
        """Do what the daemon does when the learner says ready; return the head."""
        head = newest_valid(self.checkpoints)
        assert head is not None
        with self.ledger.store.transaction() as tx:
            for manifest in record_checkpoints(tx, POLICY, read_manifests(self.checkpoints)):
                self.release.register(tx, manifest, 2000.0)
            reopen_lost(tx, POLICY, head)
        return head

    def problems(self) -> tuple[str, ...]:
        """What the audit finds."""
        with self.ledger.store.reading() as view:
            return audit(view, POLICY, read_manifests(self.checkpoints)).problems


@pytest.fixture
def shop(tmp_path: Path, tiny_policy: Path, forks: ForkServer) -> Iterator[Shop]:
    """Everything in place, nothing learned yet; the engine is for the test to start."""
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    fill(ledger, 16)
    server = ForkedEngine(forks, tiny_policy, tmp_path)
    fleet = Fleet([HttpEngine(server.url)], POLICY, tolerance=0.05, submit=at_once)
    release = Release(
        ledger.store,
        POLICY,
        RolloutController(POLICY, RolloutSettings(gate_seconds=600.0)),
        fleet,
        GateRun(fleet, GateSettings()),
        flags=tmp_path / "flags.json",
        checkpoints=tmp_path / "checkpoints",
        look_seconds=0.0,
    )
    yield Shop(ledger, tmp_path, tiny_policy, server, release)
    server.stop()


def test_an_engine_that_came_back_empty_is_filled(shop: Shop) -> None:
    """After a restart the engine has nothing; one reconciliation later it has what flags name."""
    shop.server.start()
    shop.worker()
    champion = shop.record()
    shop.release.step(2000.0)
    state = read_flags(shop.release.flags)
    assert state is not None
    assert state.champion.version == champion.version
    shop.server.kill()
    shop.release.reconcile(2001.0)
    assert shop.release.fleet.problem is not None
    shop.server.start()
    engine = HttpEngine(shop.server.url)
    assert engine.loaded() == {}
    shop.release.reconcile(2002.0)
    assert set(engine.loaded()) == {champion.version}
    assert shop.release.fleet.problem is None


def test_a_candidate_that_is_found_corrupt_never_reaches_a_server(shop: Shop) -> None:
    """Altered after its checkpoint it is set aside; its batch is applied again and offered anew."""
    shop.server.start()
    worker = shop.worker()
    v0 = shop.record()
    shop.release.step(2000.0)
    batch = shop.seal(parent=0)
    worker.apply(batch)
    head = shop.record()
    spoil(checkpoint_path(shop.checkpoints, head.sequence) / head.version)
    shop.release.step(2001.0)
    with shop.ledger.store.reading() as view:
        (rollout,) = rollouts_table.history(view, shop.release.controller.policy)
        assert rollouts_table.must_return(view, shop.release.controller.policy) is None
    assert rollout.stage is Stage.SUPERSEDED
    assert "digest" in rollout.trail[-1].reason
    assert set(HttpEngine(shop.server.url).loaded()) == {v0.version}
    state = read_flags(shop.release.flags)
    assert state is not None
    assert state.champion.version == v0.version

    shop.record()
    assert shop.ledger.fates() == {"waiting": 16}
    with pytest.raises(ValueError, match="the newest checkpoint is damaged"):
        worker.run(Apply(path=str(batch)), lambda _: None)
    shop.worker().run(Apply(path=str(batch)), lambda _: None)
    made = shop.record()
    assert (made.digest, made.parent_sequence) == (head.digest, v0.sequence)
    shop.release.step(2002.0)
    assert set(HttpEngine(shop.server.url).loaded()) == {v0.version, made.version}
    assert shop.ledger.fates() == {"trained": 16}
    assert shop.problems() == ()


def test_a_batch_lost_with_its_checkpoint_is_applied_again(shop: Shop) -> None:
    """The newest checkpoint is damaged: the learner falls back, and the ledger still closes."""
    worker = shop.worker()
    shop.record()
    worker.apply(shop.seal(parent=0))
    lost = shop.record()
    assert shop.ledger.fates() == {"trained": 16}
    weights = checkpoint_path(shop.checkpoints, lost.sequence) / "optimizer.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    again = shop.worker()
    assert again.head.sequence == 0
    shop.record()
    assert shop.ledger.fates() == {"waiting": 16}
    again.apply(shop.seal(parent=0))
    made = shop.record()
    assert made.sequence > lost.sequence
    assert made.applied == lost.applied
    assert shop.ledger.fates() == {"trained": 16}
    assert shop.problems() == ()


def test_versions_that_run_out_of_time_do_not_stop_learning(shop: Shop) -> None:
    """The learner goes back to the champion each time, so the champion's answers never grow old."""
    worker = shop.worker()
    v0 = shop.record()
    for round_ in range(1, 4):
        fill(shop.ledger, 16, prefix=f"s.r{round_}.", version=v0.version)
        ages = Lineage(read_manifests(shop.checkpoints))
        head = worker.head.sequence
        batch = shop.seal(parent=head, max_policy_age=1, age=partial(ages.age, head=head))
        worker.apply(batch)
        made = shop.record()
        now = 2000.0 + 1000.0 * round_
        shop.release.step(now)
        assert shop.release.standing().undecided == 1
        shop.release.step(now + 700.0)
        assert shop.release.standing().undecided == 0
        with shop.ledger.store.reading() as view:
            rollout = rollouts_table.find(view, POLICY, made.version)
            assert candidates_table.quarantined(view, POLICY) == {}
        assert rollout is not None
        assert "out of time as offered" in rollout.trail[-1].reason
        back = shop.release.standing().back_to
        assert back == v0.sequence
        worker.run(RollBackTo(to_sequence=back), lambda _: None)
        shop.record()
        assert shop.release.standing().back_to is None
    # The sixteen that the ledger began with are by a v0 of another life.
    assert shop.ledger.fates() == {"excluded:too_old": 16, "trained": 48}
    assert shop.problems() == ()


def test_applied_and_not_recorded_is_recorded_at_the_next_start(shop: Shop) -> None:
    """The daemon died before it knew: the manifest tells the next one, and nothing is applied twice."""
    worker = shop.worker()
    shop.record()
    batch = shop.seal(parent=0)
    worker.apply(batch)
    assert shop.ledger.fates() == {"waiting": 16}
    head = worker.head
    worker.apply(batch)
    assert worker.head == head
    shop.record()
    assert shop.ledger.fates() == {"trained": 16}
    assert shop.problems() == ()
