"""The child as the daemon meets it: a real process, really killed; forked, since it imports more than it does."""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
from learner_child import Child

from rlwd.learner.checkpoint.epoch import write_epoch
from rlwd.learner.checkpoint.folder import newest_valid, read_manifests, sequences
from rlwd.learner.process.protocol import (
    Apply,
    Asking,
    BatchFailed,
    Checkpointed,
    LearnerReady,
    RollBackTo,
    Skip,
    StepsDone,
)
from rlwd.learner.process.worker import Worker
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerProcessSettings

MakeBatch = Callable[..., SealedBatch]
Sealed = Callable[[SealedBatch], Path]


def test_a_conversation(
    child_settings: LearnerProcessSettings,
    start: Callable[[LearnerProcessSettings], Child],
    make_batch: MakeBatch,
    sealed: Sealed,
) -> None:
    """Ready once, then ask, obey, report; a second child is turned away; the closed pipe ends it."""
    child = start(child_settings)
    ready = child.hear()
    assert isinstance(ready, LearnerReady)
    assert ready.sequence == 0
    assert child.hear() == Asking(sequence=0)
    second = start(child_settings)
    log = second.end()
    assert second.process.returncode == 2
    assert f"held by the learner with process id {child.process.pid}" in log

    child.tell(Apply(path=str(sealed(make_batch(1)))))
    steps = [child.hear() for _ in range(6)]
    assert steps == [StepsDone(batch_id=1, done=n, of=6) for n in range(1, 7)]
    made = child.hear()
    assert isinstance(made, Checkpointed)
    assert (made.sequence, child.hear()) == (1, Asking(sequence=1))
    child.tell(Apply(path=str(sealed(make_batch(1)))))
    assert [child.hear(), child.hear()] == [made, Asking(sequence=1)]
    child.tell(Skip(path=str(sealed(make_batch(2, parent=1))), reason="alert"))
    assert child.hear() == BatchFailed(batch_id=2, reason="alert", sequence=2)
    assert child.hear() == Asking(sequence=2)
    child.tell(RollBackTo(to_sequence=0))
    assert child.hear() == Checkpointed(sequence=3, version=ready.version)
    assert child.hear() == Asking(sequence=3)
    child.stdin.close()
    assert child.process.wait(timeout=300) == 3
    assert [m.skipped for m in read_manifests(Path(child_settings.folder))][-1] == (2,)


def test_a_full_disk_ends_it_and_the_next_one_applies_the_batch(
    child_settings: LearnerProcessSettings,
    start: Callable[[LearnerProcessSettings], Child],
    make_batch: MakeBatch,
    sealed: Sealed,
) -> None:
    """No half a checkpoint is left, the log says what failed, and the batch is applied later.

    A limit on the size of files stands in for the disk: the kernel refuses the write with another
    number, and through the same calls.
    """
    child = start(child_settings)
    child.hear_until(Asking)
    resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    batch = sealed(make_batch(1))
    child.tell(Apply(path=str(batch)))
    assert "File too large" in child.end()
    assert child.process.returncode not in (0, None)
    folder = Path(child_settings.folder)
    assert [manifest.sequence for manifest in read_manifests(folder)] == [0]
    again = start(child_settings)
    assert again.hear_until(Asking) == Asking(sequence=0)
    again.tell(Apply(path=str(batch)))
    assert again.hear_until(Checkpointed).sequence == 1
    newest = newest_valid(folder)
    assert newest is not None
    assert newest.applied == (1,)


def test_killed_in_mid_batch(
    child_settings: LearnerProcessSettings,
    start: Callable[[LearnerProcessSettings], Child],
    make_batch: MakeBatch,
    sealed: Sealed,
    tmp_path: Path,
) -> None:
    """Killed between two steps and started again, it makes the very bytes of one never killed."""
    child = start(child_settings)
    child.tell(Apply(path=str(sealed(make_batch(1)))))
    child.hear_until(Checkpointed)
    second = Apply(path=str(sealed(make_batch(2, parent=1))))
    child.tell(second)
    while child.hear_until(StepsDone).done < 3:
        pass
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    assert sequences(Path(child_settings.folder)) == [0, 1]

    successor = start(child_settings)
    assert successor.hear_until(Asking).sequence == 1
    successor.tell(second)
    assert successor.hear_until(Checkpointed).sequence == 2
    successor_head = read_manifests(Path(child_settings.folder))[-1]

    steady = Worker(msgspec.structs.replace(child_settings, folder=str(tmp_path / "steady")))
    steady.apply(Path(sealed(make_batch(1))))
    steady.apply(Path(second.path))
    assert successor_head.files == steady.head.files
    assert successor_head.digest == steady.head.digest


def test_orphaned_in_mid_batch(
    child_settings: LearnerProcessSettings,
    start: Callable[[LearnerProcessSettings], Child],
    make_batch: MakeBatch,
    sealed: Sealed,
) -> None:
    """When the daemon's pipe closes the child ends within a step, not after the batch."""
    long = msgspec.structs.replace(child_settings.learner, passes=10_000)
    child = start(msgspec.structs.replace(child_settings, learner=long))
    child.tell(Apply(path=str(sealed(make_batch(1)))))
    child.hear_until(StepsDone)
    child.stdin.close()
    assert child.process.wait(timeout=300) == 3
    assert sequences(Path(child_settings.folder)) == [0]


def test_outdated(
    child_settings: LearnerProcessSettings,
    start: Callable[[LearnerProcessSettings], Child],
    tmp_path: Path,
) -> None:
    """A child of an earlier lease ends with 4, and one whose model is not the one to start from with 2."""
    write_epoch(Path(child_settings.folder), 9)
    child = start(child_settings)
    log = child.end()
    assert child.process.returncode == 4
    assert "EPOCH is 9, this learner's lease 3" in log
    other = {"start": str(tmp_path / "policy@v000001-0"), "start_base": "0" * 64}
    wrong = start(msgspec.structs.replace(child_settings, **other, lease_epoch=9))
    log = wrong.end()
    assert wrong.process.returncode == 2
    assert "learner.model: is " in log
    assert "policy@v000001-0, which is started from, was made on 000000000000" in log
