"""A bad episode in a sealed batch: the learner leaves it out by name, and the ledger says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from daemon_by_hand import decide, fill, open_daemon_ledger
from ledger_by_hand import Ledger

from rlwd.daemon.audit.audit import audit
from rlwd.daemon.explain.explain import explain
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.batches_table import pending_batch, write_batch
from rlwd.learner.ledger.checkpoints_table import record_checkpoints
from rlwd.learner.ledger.seal import seal
from rlwd.learner.process.protocol import BatchFailed, Checkpointed
from rlwd.learner.process.worker import Worker
from rlwd.learner.settings import LearnerProcessSettings

Learn = Callable[[Ledger], Any]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger with the daemon's tables."""
    return open_daemon_ledger(tmp_path / "rlwd.db")


@pytest.fixture
def learn(child_settings: LearnerProcessSettings, tmp_path: Path) -> Learn:
    """Seal what is ready, let a learner apply it, and record what its manifests say."""

    def learn(ledger: Ledger) -> Any:
        worker = Worker(child_settings)
        with ledger.store.transaction() as tx:
            settings = BatchSettings(episodes=4, held_out=0.0)
            given: dict[str, Any] = {"parent_sequence": 0, "max_policy_age": 8, "now": 2000.0}
            assert seal(tx, "policy", settings, age=lambda version: 0, **given)
            pending = pending_batch(tx, "policy")
        assert pending is not None
        report = worker.apply(write_batch(tmp_path / "batches", *pending[:2]))
        manifests = read_manifests(Path(child_settings.folder))
        with ledger.store.transaction() as tx:
            record_checkpoints(tx, "policy", manifests)
        with ledger.store.reading() as view:
            assert audit(view, "policy", manifests).problems == ()
        return report

    return learn


def test_the_others_are_trained(ledger: Ledger, learn: Learn) -> None:
    """Token ids that the model does not have cost their own answer and no other."""
    fill(ledger, 8)
    decide(ledger, "alien", 1100.0, completion_token_ids=(5000,))
    assert isinstance(learn(ledger), Checkpointed)
    assert ledger.fates() == {"trained": 8, "excluded:unknown_tokens": 1}


def test_a_batch_without_information_is_skipped(ledger: Ledger, learn: Learn) -> None:
    """Where everybody accepted there is nothing to learn: no step, each episode by its own rule."""
    for number in range(6):
        decide(ledger, f"g{number}", 1000.0 + number)
    decide(ledger, "alien", 1100.0, taken=False, completion_token_ids=(5000,))
    report = learn(ledger)
    assert isinstance(report, BatchFailed)
    assert not report.fault
    assert ledger.fates() == {"excluded:no_spread": 6, "excluded:unknown_tokens": 1}


def test_a_batch_of_low_effective_size_is_skipped(ledger: Ledger, learn: Learn) -> None:
    """Where one answer holds nearly all the ratios' weight: no step, `skipped`, and each is named."""
    decide(ledger, "near", 1000.0, logprobs=(-5.5,))
    for number in range(7):
        decide(ledger, f"g{number}", 1001.0 + number, taken=number % 2 == 0, logprobs=(-1e-3,))
    report = learn(ledger)
    assert isinstance(report, BatchFailed)
    assert (report.fault, "learner.ess_floor" in report.reason) == (False, True)
    assert ledger.fates() == {"excluded:low_ess": 8}
    with ledger.store.reading() as view:
        assert view.execute("SELECT state FROM batches").fetchall() == [("skipped",)]
        told = explain(view, "policy", "near")
    assert "excluded:low_ess" in repr(told)


def test_a_cold_answer_is_never_sealed(ledger: Ledger, learn: Learn) -> None:
    """One request at temperature 0.01 is excluded as it comes in, and its neighbours are learned from."""
    fill(ledger, 8)
    decide(ledger, "cold", 1100.0, sampling={"temperature": 0.01})
    assert ledger.fates() == {"waiting": 8, "excluded:low_temperature": 1}
    learn(ledger)
    assert ledger.fates() == {"trained": 8, "excluded:low_temperature": 1}
