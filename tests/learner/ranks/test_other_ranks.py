"""Other ranks: what rank 0 says reaches them, and nobody's end goes unnoticed."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from lone_daemon import lives, state_of
from waiting import until

from rlwd.learner.ranks import other_ranks
from rlwd.learner.ranks.join import join_ranks
from rlwd.learner.ranks.other_ranks import OtherRanks, threads_of_each
from rlwd.learner.settings import LearnerSettings

ECHO = """
import sys
from pathlib import Path
folder, _, rank, _, port = sys.argv[1:]
for line in sys.stdin:
    (Path(folder) / f"heard{rank}").write_text(f"{line.strip()} at {port}")
(Path(folder) / f"ended{rank}").touch()
"""


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not (path.exists() and (path.stat().st_size or path.name.startswith("ended"))):
        assert time.monotonic() < deadline, path
        time.sleep(0.02)
    return path.read_text()


def test_lines_reach_all_and_an_end_is_told(tmp_path: Path) -> None:
    """Each is told its rank and where rank 0 waits; killed, it is named; its closed pipe ends another."""
    others = OtherRanks([sys.executable, "-c", ECHO, str(tmp_path)], 2)
    ended: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
    others.watch(lambda rank, status: ended.put((rank, status)))
    others.relay(b"learn\n")
    for rank in (1, 2):
        assert wait_for(tmp_path / f"heard{rank}") == f"learn at {others.port}"
    others.processes[0].kill()
    assert ended.get(timeout=60) == (1, -9)
    others.relay(b"go on\n")
    pipe = others.processes[1].stdin
    assert pipe is not None
    pipe.close()
    wait_for(tmp_path / "ended2")
    assert ended.get(timeout=60) == (2, 0)
    assert others.listening is not None
    others.listening.close()
    first = others.processes[0].stdin
    assert first is not None
    with contextlib.suppress(BrokenPipeError):
        first.close()  # Nobody read its last line.


STOPPED = """
import os, signal
from rlwd.learner.ranks.other_ranks import end_with_parent
end_with_parent()
os.kill(os.getpid(), signal.SIGSTOP)
"""
STARTS = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", sys.argv[1]]).pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can")
def test_one_that_is_stopped_ends_with_who_started_it() -> None:
    """It reads no pipe that closes, and in a daemon's session nobody wakes it: the kernel kills it."""
    command = [sys.executable, "-c", STARTS, STOPPED]
    # Of its own session, as a unit's processes are: else the end of its starter would wake it.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as starter:
        assert starter.stdout is not None
        stopped = int(starter.stdout.readline())
        try:
            until(lambda: state_of(stopped) == "T")
            starter.kill()
            until(lambda: not lives(stopped), 60.0)
        finally:
            starter.kill()
            with contextlib.suppress(ProcessLookupError):
                os.kill(stopped, signal.SIGKILL)


def test_a_learner_of_one_process_starts_none() -> None:
    """It listens nowhere either."""
    alone = OtherRanks(["/no/such/program"], 0)
    alone.relay(b"learn\n")
    assert (alone.processes, alone.port, alone.listening) == ([], 0, None)


def test_threads_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to itself each of several takes its share of the cores, and one process what torch takes."""
    monkeypatch.setattr(other_ranks, "cores", lambda: 8)
    for processes, threads, each in ((1, 0, 0), (3, 0, 2), (16, 0, 1), (3, 5, 5)):
        settings = LearnerSettings(processes=processes, threads=threads)
        assert threads_of_each(settings) == each


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the setting's name, before anybody waits for anybody."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    settings = msgspec.structs.replace(LearnerSettings(), device="cuda", processes=2)
    with pytest.raises(ValueError, match=r"learner\.processes: 2, and this machine has 1 GPUs"):
        join_ranks(settings, 0, 0)
