"""A worker whose tensors are at a service: checkpoints, rollbacks and exactly one application, whatever it does."""

import errno
import io
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stand_in_server import StandInServer, at_service

from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import (
    checkpoint_path,
    problem_of,
    read_manifest,
    weights_path,
    whole_checkpoints,
)
from rlwd.learner.process import main
from rlwd.learner.process.protocol import BatchFailed, Checkpointed, Prune
from rlwd.learner.process.supervisor import LearnerSupervisor
from rlwd.learner.process.worker import Worker
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.service import service_learner, tinker_training
from rlwd.learner.service.own_training import OwnTraining
from rlwd.learner.service.port import (
    ContentsRefused,
    Datum,
    Logprobs,
    ServiceAway,
    ServiceClosed,
)
from rlwd.learner.service.service_learner import ServiceLearner
from rlwd.learner.service.service_state import ServiceState
from rlwd.learner.service.tinker_training import TinkerTraining
from rlwd.learner.settings import LearnerProcessSettings, LearnerSettings
from rlwd.learner.train.steps import BatchGivenUp
from rlwd.ops.engine.adapter_check import check_adapter

# The client library drops the connection that it fetched its configuration by without closing it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MakeBatch = Callable[..., SealedBatch]
Sealed = Callable[[SealedBatch], Path]


@pytest.fixture
def there(
    stand_in: StandInServer, plain: LearnerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> LearnerProcessSettings:
    """Settings of a process that learns at the stand-in, and asks again at once."""
    monkeypatch.setattr(service_learner, "WAITS", (0.05,))
    return LearnerProcessSettings(
        learner=at_service(plain, stand_in),
        policy="policy",
        folder=str(tmp_path / "checkpoints"),
        lease_epoch=3,
    )


def state_of(worker: Worker, manifest: Manifest) -> ServiceState:
    path = checkpoint_path(worker.folder, manifest.sequence) / "service.json"
    return msgspec.json.decode(path.read_bytes(), type=ServiceState)


def test_a_batch_counts_once_whatever_the_service_does(
    there: LearnerProcessSettings, stand_in: StandInServer, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """Restarted in mid-batch and again while it saves, with answers lost: one application, to the same weights."""
    quiet = Worker(there)
    quiet.apply(sealed(make_batch(1)))
    told, wanted = list[str](), quiet.head
    noisy = Worker(
        msgspec.structs.replace(there, folder=f"{there.folder}-noisy"), waiting=told.append
    )
    stand_in.order(
        ("optim_step", "lost", 1),
        ("optim_step", "restart", 1),
        ("save_weights", "restart", 1),
        ("files", "503", 1),
    )
    assert isinstance(noisy.apply(sealed(make_batch(1))), Checkpointed)
    assert (noisy.head.applied, noisy.head.batch_id) == ((1,), 1)
    assert noisy.head.probe.logprobs == pytest.approx(wanted.probe.logprobs, abs=1e-5)
    assert state_of(noisy, noisy.head).steps == state_of(quiet, wanted).steps == 6
    assert problem_of(noisy.folder, noisy.head) is None
    assert told[0].startswith("waits for the training service")
    assert told[-1] == ""


def test_an_adapter_that_does_not_come_whole_is_fetched_again(
    there: LearnerProcessSettings, stand_in: StandInServer, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """By itself: the batch's steps are made, saved and paid for, and half an adapter would be a version."""
    worker, before = Worker(there), stand_in.counts["steps"]
    stand_in.order(("files", "503", 1), ("files", "", 1), ("files", "short", 1))
    assert isinstance(worker.apply(sealed(make_batch(1))), Checkpointed)
    assert stand_in.counts["steps"] - before == worker.head.metrics["steps"] == 6
    check_adapter(weights_path(worker.folder, worker.head), worker.head.digest)
    assert not list(worker.folder.glob(".new-*fetched"))


def test_another_process_goes_on_and_a_rollback_goes_back(
    there: LearnerProcessSettings, stand_in: StandInServer, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """After a restart of both; the same batch from the same checkpoint gives the same version's answers."""
    first = Worker(there)
    first.apply(sealed(make_batch(1)))
    first.apply(sealed(make_batch(2, parent=1)))
    second_version = first.head
    stand_in.order(("create_session", "restart", 1))
    heir = Worker(there)
    assert heir.head == second_version
    assert isinstance(heir.apply(sealed(make_batch(2, parent=1))), Checkpointed)
    assert heir.head == second_version, "known already"
    heir.roll_back(1)
    assert (heir.head.version, heir.head.reverted) == (read_manifest(heir.folder, 1).version, (2,))
    assert state_of(heir, heir.head) == state_of(heir, read_manifest(heir.folder, 1))
    heir.apply(sealed(make_batch(3, parent=3)))
    assert heir.head.applied == (1, 3)
    # From the first version's state on, and not from the second's.
    assert state_of(heir, heir.head).steps == state_of(heir, second_version).steps == 12


def test_pruned_checkpoints_are_forgotten_there_and_others_kept(
    there: LearnerProcessSettings, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """A state that a kept checkpoint names too stays; one that only pruned ones name is given up."""
    worker = Worker(there)
    worker.apply(sealed(make_batch(1)))
    worker.roll_back(0)
    states = [state_of(worker, read_manifest(worker.folder, n)).state for n in (0, 1)]
    worker.prune([0, 1])
    asked = TinkerTraining(there.learner)
    asked.begin(states[0])
    with pytest.raises(ServiceClosed):
        asked.begin(states[1])
    worker.apply(sealed(make_batch(2, parent=2)))
    assert worker.head.applied == (2,)


def test_a_damaged_checkpoint_stops_no_pruning(
    there: LearnerProcessSettings, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """What one that is kept names is not known then, so that nothing is forgotten; later it goes as any other."""
    worker = Worker(there)
    worker.apply(sealed(make_batch(1)))
    learned = state_of(worker, worker.head).state
    for _ in range(2):
        worker.roll_back(0)
    (checkpoint_path(worker.folder, 2) / "service.json").write_text("{")
    worker.run(Prune(sequences=(1,)), lambda _: None)
    TinkerTraining(there.learner).begin(learned)
    worker.run(Prune(sequences=(0, 2)), lambda _: None)
    assert whole_checkpoints(worker.folder) == [3]
    TinkerTraining(there.learner).begin(state_of(worker, worker.head).state)


def test_a_batch_that_the_service_refuses_is_given_up_alone(
    there: LearnerProcessSettings, stand_in: StandInServer, make_batch: MakeBatch, sealed: Sealed
) -> None:
    """For cause, with the service's reason, nothing changed; the next one is learned."""
    worker = Worker(there)
    v0 = worker.head
    stand_in.order(("forward_backward", "failed", 1))
    failed = worker.apply(sealed(make_batch(1)))
    assert isinstance(failed, BatchFailed)
    assert "the training service refuses it" in failed.reason
    assert (worker.head.skipped, worker.head.version) == ((1,), v0.version)
    worker.apply(sealed(make_batch(2, parent=1)))
    assert (worker.head.applied, worker.head.skipped) == ((2,), (1,))


def test_neither_learner_takes_up_the_others_checkpoints(
    there: LearnerProcessSettings, plain: LearnerSettings
) -> None:
    """The optimizer of one is nothing to the other: each says so, and what to do; so does one of another model."""
    Worker(there)
    service = msgspec.structs.replace(there.learner.service, model="another")
    another = msgspec.structs.replace(there.learner, service=service)
    with pytest.raises(ValueError, match=r"learner\.service\.model: .* made from 'stand-in/tiny'"):
        Worker(msgspec.structs.replace(there, learner=another))
    here = msgspec.structs.replace(there, learner=plain)
    with pytest.raises(ValueError, match="made at a training service"):
        Worker(here)
    own = msgspec.structs.replace(here, folder=f"{there.folder}-own")
    Worker(own)
    with pytest.raises(ValueError, match="made by our own learner"):
        Worker(msgspec.structs.replace(there, folder=own.folder))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (("forward_backward", "403", 1), b"403"),
        (("save_weights", "failed", 1), b"ordered"),
        (None, b"its disk is full"),
    ],
    ids=["account", "limit", "disk"],
)
def test_what_is_no_fault_of_a_batch_costs_none(
    fault: tuple[str, str, int] | None,
    told: bytes,
    there: LearnerProcessSettings,
    stand_in: StandInServer,
    make_batch: MakeBatch,
    sealed: Sealed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An account that lapses or may keep no more, a disk without room for the adapter: the learner ends with the
    reason, and its death is not the batch's: after three it would be lost."""
    worker, given = Worker(there), sealed(make_batch(1))

    def serve(*_: object) -> None:
        if fault:
            stand_in.order(fault)
        worker.apply(given)

    def full(url: str, path: Path, timeout: float) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    said = io.BytesIO()
    arguments: Any = (there, None, said, None, None, None, None)
    with monkeypatch.context() as within:
        within.setattr(main, "serve", serve)
        if fault is None:
            within.setattr(tinker_training, "_download", full)
        status = main._served(*arguments)
    assert told in said.getvalue()
    child = LearnerSupervisor(there, Path(there.folder) / "settings.json")
    child.process = subprocess.Popen(
        [sys.executable, "-c", f"raise SystemExit({status})"], stdin=subprocess.PIPE
    )
    child.process.wait()
    assert child.reap(0.0)
    assert child.blamed(1) is None
    assert isinstance(worker.apply(given), Checkpointed)


def test_a_probe_that_is_no_number_is_waited_for(
    plain: LearnerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No manifest could hold it, and a policy whose only manifest cannot be read never starts again."""
    monkeypatch.setattr(service_learner, "WAITS", (0.0,))
    told, service = list[str](), Lying(plain)
    learner = ServiceLearner(service, plain, tmp_path, told.append)
    assert all(math.isfinite(one) for one in learner.first().logprobs)
    assert ["not finite" in one for one in told] == [True, False]


def test_who_goes_on_is_not_said_to_wait(
    plain: LearnerSettings, make_batch: MakeBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first step after an outage on; and where the batch is refused after one."""
    monkeypatch.setattr(service_learner, "WAITS", (0.0,))
    told, service = list[str](), Failing(plain)
    learner = ServiceLearner(service, plain, tmp_path, told.append)
    learner.first()
    service.problems += [ServiceAway("away")]
    stepping = list[str]()
    learner.apply(make_batch(1), lambda done, of: stepping.append(told[-1]))
    assert ([*map(bool, told)], stepping[0]) == ([True, False], "")
    service.problems += [ServiceAway("away"), ContentsRefused("no")]
    with pytest.raises(BatchGivenUp, match="refuses it: no"):
        learner.apply(make_batch(2, parent=1))
    assert [*map(bool, told)] == [True, False] * 2


class Failing(OwnTraining):
    """Our own learner as a service that has problems first."""

    def __init__(self, settings: LearnerSettings) -> None:
        super().__init__(settings)
        self.problems = list[Exception]()

    def logprobs(self, data: Sequence[Datum]) -> Logprobs:
        """Raise the next problem, until there is none."""
        if self.problems:
            raise self.problems.pop(0)
        return super().logprobs(data)


class Lying(OwnTraining):
    """Our own learner as a service whose first numbers are none."""

    lies = 1

    def logprobs(self, data: Sequence[Datum]) -> Logprobs:
        """Say nothing that is a number, once."""
        found = super().logprobs(data)
        self.lies -= 1
        return found if self.lies < 0 else [[math.nan for _ in each] for each in found]


def test_a_base_that_refuses_the_probe_is_told_at_the_start(
    there: LearnerProcessSettings, stand_in: StandInServer
) -> None:
    """As where the service's model knows fewer tokens than the folder's: by key, with its words."""
    stand_in.order(("forward_backward", "failed", 1))
    with pytest.raises(ValueError, match=r"learner\.service\.model: it refuses the probe"):
        Worker(there)
