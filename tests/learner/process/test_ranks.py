"""Ranks of a learner that die or hang, as the daemon meets them: the end of one is the end of all, and is told."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from learner_child import Child
from lone_daemon import lives, state_of
from waiting import until

from rlwd.learner.process.protocol import Apply, Asking, Ended, StepsDone
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerProcessSettings

Start = Callable[[LearnerProcessSettings], Child]


def of_two(settings: LearnerProcessSettings, **changes: object) -> LearnerProcessSettings:
    learner = msgspec.structs.replace(settings.learner, processes=2, **changes)
    return msgspec.structs.replace(settings, learner=learner)


def other_rank(child: Child) -> int:
    """Return the process id of rank 1, once rank 0 has started it and it runs the learner's program."""
    pid, found = child.process.pid, list[int]()

    def there() -> bool:
        found[:] = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return bool(found) and b"--port" in Path(f"/proc/{found[0]}/cmdline").read_bytes()

    until(there)
    return found[0]


def joins(rank: int) -> bool:
    """Return whether rank 0 has opened the meeting of which rank 1 knows the port, and waits there."""
    words = Path(f"/proc/{rank}/cmdline").read_bytes().split(b"\0")
    port = int(words[words.index(b"--port") + 1])
    sockets = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(int(local.partition(":")[2], 16) == port and at == "01" for local, _, at in sockets)


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "while rank 0 waits for it"])
def test_one_that_is_killed_before_it_has_joined(
    child_settings: LearnerProcessSettings, start: Start, waits: bool
) -> None:
    """That is an end of the learner like any other, and nobody waits for the join's time limit."""
    child = start(of_two(child_settings))
    other = other_rank(child)
    if waits:
        os.kill(other, signal.SIGSTOP)
        until(lambda: joins(other))
    os.kill(other, signal.SIGKILL)
    # Long before a store (300 s) or a group (`hang_seconds`) gives up.
    assert child.process.wait(timeout=120) == 1
    assert child.hear() == Ended(reason="its process of rank 1 ended with status -9")


def test_one_that_hangs_before_it_has_joined_is_told_of_and_ended(
    child_settings: LearnerProcessSettings, start: Start
) -> None:
    """Stopped as it starts it is waited for as long as in a batch, and then said to hang."""
    child = start(of_two(child_settings, hang_seconds=10.0))
    other = other_rank(child)
    os.kill(other, signal.SIGSTOP)
    told = child.hear_until(Ended).reason
    assert told.startswith("one of its processes hangs (learner.hang_seconds): "), told
    assert child.process.wait(timeout=120) == 1
    until(lambda: not lives(other))


def test_one_that_hangs_is_told_of_and_ended(
    child_settings: LearnerProcessSettings,
    start: Start,
    make_batch: Callable[..., SealedBatch],
    sealed: Callable[[SealedBatch], Path],
) -> None:
    """Stopped in mid-batch it answers rank 0 no more, which says so after a while; it is not left behind."""
    # Both import torch within it, on a busy machine too.
    child = start(of_two(child_settings, passes=10_000, hang_seconds=60.0))
    child.hear_until(Asking)
    child.tell(Apply(path=str(sealed(make_batch(1)))))
    child.hear_until(StepsDone)
    other = other_rank(child)
    os.kill(other, signal.SIGSTOP)
    until(lambda: state_of(other) == "T")
    told = child.hear_until(Ended).reason
    assert told.startswith("one of its processes hangs (learner.hang_seconds): "), told
    assert child.process.wait(timeout=120) == 1
    until(lambda: not lives(other))
