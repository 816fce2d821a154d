"""The daemon's end of the learner's pipe."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from tiny_learner import TINY

from rlwd.learner.checkpoint.epoch import write_epoch
from rlwd.learner.process.protocol import Asking, Prune, TrafficSlow
from rlwd.learner.process.supervisor import LearnerSupervisor
from rlwd.learner.settings import LearnerProcessSettings


def test_who_asked_and_died_is_not_heard(tmp_path: Path, tiny_policy: Path) -> None:
    """What a dead learner said last is dropped, so that nobody commands who is not there."""
    write_epoch(tmp_path, 2)
    learner = msgspec.structs.replace(TINY, model=str(tiny_policy))
    outdated = LearnerProcessSettings(
        learner=learner, policy="policy", folder=str(tmp_path), lease_epoch=1
    )
    child = LearnerSupervisor(outdated, tmp_path)
    child.ensure(100.0)
    assert child.process is not None
    child._reports.put(Asking(sequence=0))
    # Its lease is over, so it ends by itself.
    assert child.process.wait(300) == 4
    assert child.reap(101.0)
    assert (child.reports(), child.alive, child.reap(101.0)) == ([], False, False)


def test_a_learner_that_cannot_start_is_told_of(tmp_path: Path, tiny_policy: Path) -> None:
    """An operator hears how often it ended in a row, and with which status; before that nothing."""
    learner = msgspec.structs.replace(TINY, model=str(tiny_policy))
    unusable = LearnerProcessSettings(
        learner=learner, policy="policy", folder=str(tmp_path), lease_epoch=1
    )
    write_epoch(tmp_path, 2)
    child = LearnerSupervisor(unusable, tmp_path)
    assert child.trouble is None
    for times in ("once", "2 times in a row"):
        child.ensure(100.0 + 10.0 * child.deaths)
        assert child.process is not None
        child.process.wait(300)
        assert child.reap(101.0 + 10.0 * child.deaths)
        assert child.trouble == f"ended {times}, last with status 4; its log lines say why"


def test_a_learner_says_what_it_cannot_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of a learner that refuses its model reaches the daemon, and stays until one is ready; without a
    model it imports no torch to say so."""
    (tmp_path / "torch.py").write_text('raise RuntimeError("it is imported")\n')
    places = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    learner = msgspec.structs.replace(TINY, model=str(tmp_path / "nothing"))
    unusable = LearnerProcessSettings(
        learner=learner, policy="policy", folder=str(tmp_path), lease_epoch=1
    )
    child = LearnerSupervisor(unusable, tmp_path)
    child.ensure(100.0)
    assert child.process is not None
    assert child.process.wait(300) == 2
    assert child.reap(101.0)
    assert child.refusal is not None
    assert child.refusal.startswith("learner.model: ")
    assert child.trouble == f"ended once: {child.refusal}"


def test_one_that_hangs_at_its_work_is_killed(tmp_path: Path) -> None:
    """After `hang_seconds` without a word; idle it may be silent, and what the loop did not see is not counted."""
    settings = LearnerProcessSettings(
        learner=msgspec.structs.replace(TINY, hang_seconds=400.0),
        policy="policy",
        folder=str(tmp_path),
        lease_epoch=1,
    )
    child = LearnerSupervisor(settings, tmp_path)
    sleeping = [sys.executable, "-c", "import time; time.sleep(3600)"]
    with subprocess.Popen(sleeping, stdin=subprocess.PIPE) as process:
        child.process = process

        def looked_at(first: int, last: int) -> None:
            for now in range(first, last + 1, 50):
                assert not child.reap(float(now))
            assert process.returncode is None

        child.ready = True
        looked_at(0, 1000)  # Nothing was asked of it.
        child.send(Prune(sequences=(1,)))
        looked_at(1050, 1450)
        child.silence.heard(idle=False)
        looked_at(1500, 1900)
        looked_at(9000, 9400)  # The machine slept before.
        child.reap(9450.0)
        assert process.wait(60) == -9
    assert child.reap(9450.0)
    assert child.trouble == (
        "ended once: it said nothing for 400 s in the middle of its work and was killed (learner.hang_seconds)"
    )


def test_one_that_hangs_at_its_start_is_killed_and_counted(
    tmp_path: Path, tiny_policy: Path
) -> None:
    """It has said nothing yet; and each such start is told of as one more in a row, however long it took."""
    learner = msgspec.structs.replace(TINY, model=str(tiny_policy), hang_seconds=400.0)
    settings = LearnerProcessSettings(
        learner=learner, policy="policy", folder=str(tmp_path), lease_epoch=1
    )
    child, now = LearnerSupervisor(settings, tmp_path), 0.0
    for times in ("once", "2 times in a row", "3 times in a row"):
        child.ensure(now)
        assert child.process is not None
        os.kill(child.process.pid, signal.SIGSTOP)
        for at in range(0, 401, 100):
            assert not child.reap(now + at)
        assert child.process.poll() is None
        child.reap(now := now + 500.0)
        assert child.process.wait(60) == -9
        assert child.reap(now)
        told = "it said nothing for 400 s while it started and was killed (learner.hang_seconds)"
        assert child.problem(begun=True) == f"ended {times}: {told}"
    assert not child.comes_back


def test_a_learner_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    """Stopped for long while people's requests are slow: the loop goes on, and there is room for a command."""
    settings = LearnerProcessSettings(
        learner=TINY, policy="policy", folder=str(tmp_path), lease_epoch=1
    )
    child = LearnerSupervisor(settings, tmp_path)
    sleeping = [sys.executable, "-c", "import time; time.sleep(3600)"]
    with subprocess.Popen(sleeping, stdin=subprocess.PIPE) as process:
        child.process = process

        def told() -> None:
            for _ in range(3000):
                child.send(TrafficSlow(seconds=30.0))
            child.send(Prune(sequences=(1,)))

        telling = threading.Thread(target=told, daemon=True)
        telling.start()
        telling.join(60.0)
        held = telling.is_alive()
        process.kill()
    assert not held
