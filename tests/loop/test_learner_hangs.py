"""A learner that stops answering in a whole loop: it is ended, told of, and its work is done by the next one.

All is as `rlwd run` builds it but for the clock, which the test sets forward where an hour has to pass.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lone_daemon import BATCH, Workshop, lives, state_of
from waiting import until

from rlwd.daemon import wire
from rlwd.daemon.control.control_loop import ControlLoop
from rlwd.daemon.control.lifecycle import Deadline, SteadyClock

LOOKS = 5
"""So often the loop turns within `learner.hang_seconds`: what it did not look on at is not counted."""


class SetForward(SteadyClock):
    """A daemon's clock, ahead of the real one."""

    ahead = 0.0

    def __call__(self) -> float:
        return super().__call__() + self.ahead


class Watched:
    """A daemon whose loop the test turns."""

    def __init__(self, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shop = Workshop(folder, model, passes=25, poll_seconds=0.05)
        self.shop.daemon("daemon")  # It writes the config, and is not started.
        monkeypatch.setattr(wire, "SteadyClock", SetForward)
        self.loop: ControlLoop = wire.build_control(self.shop.config)
        self.child = self.loop.training.child
        self.loop.startup()

    def until(self, done: Callable[[], bool]) -> None:
        """Turn until something is the case."""

        def turned() -> bool:
            self.loop.tick(self.loop.clock())
            return done()

        until(turned, 240.0, told=lambda: f"{self.loop.training.state}, {self.child.trouble}")

    def stop_learner(self) -> int:
        """Stop the learner where it stands, and let the time pass that it may be silent; return its process id."""
        pid = self.child.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        until(lambda: state_of(pid) == "T")
        clock, most = self.loop.clock, self.child.silence.most_seconds
        assert isinstance(clock, SetForward)
        for _ in range(LOOKS + 2):
            assert self.child.pid == pid
            self.loop.tick(clock())
            clock.ahead += most / LOOKS
        return pid


@pytest.fixture
def watched(
    tmp_path: Path, tiny_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    """A daemon without engine or people."""
    made = Watched(tmp_path, tiny_policy, monkeypatch)
    yield made
    made.loop.shutdown(Deadline.after(10.0))


def test_a_learner_that_hangs_is_started_again_and_its_batch_is_learned(watched: Watched) -> None:
    """Stopped at its start, and again in mid-batch: each time the next one goes on, and the daemon says why."""
    shop, child = watched.shop, watched.child
    watched.until(lambda: child.pid is not None)
    first = watched.stop_learner()
    watched.until(lambda: child.deaths_in_all == 1 and child.alive)
    told = "it said nothing for 3600 s while it started and was killed (learner.hang_seconds)"
    assert watched.loop.vitals.problems["learner"] == f"ended once: {told}"
    watched.until(lambda: watched.loop.training.state == "waiting for episodes")
    shop.say()
    watched.until(lambda: watched.loop.training.state.startswith("step"))
    second = watched.stop_learner()
    watched.until(lambda: child.deaths_in_all == 2)
    assert child.refusal is not None
    assert "in the middle of its work" in child.refusal
    assert shop.ask("SELECT deaths FROM batches") == [(1,)]
    watched.until(lambda: shop.status()["fates"].get("trained") == BATCH)
    assert "learner" not in watched.loop.vitals.problems
    assert [one.batch_id for one in shop.manifests] == [1]
    assert not lives(first)
    assert not lives(second)
