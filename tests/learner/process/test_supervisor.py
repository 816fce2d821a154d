"""The daemon's end of the learner's pipe."""

from pathlib import Path

from rlwd.learner.checkpoint.epoch import write_epoch
from rlwd.learner.process.protocol import Asking
from rlwd.learner.process.supervisor import LearnerSupervisor
from rlwd.learner.settings import DEMO, LearnerProcessSettings


def test_who_asked_and_died_is_not_heard(tmp_path: Path) -> None:
    """What a dead learner said last is dropped, so that nobody commands who is not there."""
    write_epoch(tmp_path, 2)
    outdated = LearnerProcessSettings(
        learner=DEMO, policy="policy", folder=str(tmp_path), lease_epoch=1
    )
    child = LearnerSupervisor(outdated, tmp_path)
    child.ensure(100.0)
    assert child.process is not None
    child._reports.put(Asking(sequence=0))
    # Its lease is over, so it ends by itself.
    assert child.process.wait(60.0) == 4
    assert child.reap(101.0)
    assert (child.reports(), child.alive, child.reap(101.0)) == ([], False, False)
