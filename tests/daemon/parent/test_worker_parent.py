"""The parent of workers: who dies is started again, who cannot begin ends all, and a stop is in order."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A worker says who it is, then waits: for SIGTERM, for a second one's hurry, for its parent's end.
CODE = """
import os, select, signal, sys, time
from pathlib import Path
from rlwd.daemon.parent import worker_parent
from rlwd.daemon.parent.worker_parent import WorkerParent
from rlwd.daemon.workers.shared_counts import SharedCounts
from rlwd.streams.logs import log_to_stderr

log_to_stderr("parent", form="json")
folder, fails, slow = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "slow"

forks, fork = [], os.fork

def no_room():
    forks.append(1)
    if fails == "fork" and len(forks) in (3, 4) or fails == "first" and len(forks) == 2:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()

os.fork = no_room

def say(text):
    os.write(1, f"{text}\\n".encode())

def serve(number, parent, listens):
    if fails == str(number):
        raise SystemExit(2)
    if (fails, number) == ("start", 2) and not (folder / "hung").exists():
        (folder / "hung").touch()
        time.sleep(3600.0)
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append("term"))
    signal.signal(signal.SIGUSR1, lambda *_: heard.append("hurry"))
    counts.note_serving(number)
    say(f"{number} {os.getpid()}")
    listens()
    if fails == "brief" and number == 2:
        return
    while not heard or (slow and "hurry" not in heard):
        if (fails, number) != ("hang", 2):
            counts.note_turn(number)
        if parent in select.select([parent], [], [], 0.05)[0]:
            heard.append("alone")
            break
    say(f"{number} {heard[-1]}")

counts = SharedCounts(2, [], folder)
if fails == "start":
    worker_parent.START_SECONDS = 5.0
raise SystemExit(WorkerParent(
    2, serve, counts, serving=lambda: say("all serve"), stopping=lambda: say("stopping") or 60.0,
    hang_seconds=5.0 if fails in ("hang", "start") else 120.0,
).run())
"""


@contextmanager
def parent(folder: Path, fails: str = "", slow: str = "") -> Iterator["subprocess.Popen[str]"]:
    arguments = [sys.executable, "-c", CODE, str(folder), fails, slow]
    with (folder / "log").open("w") as log:
        child = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
    try:
        yield child
    finally:
        child.kill()
        child.communicate(timeout=300)


def lines(child: "subprocess.Popen[str]", count: int) -> list[str]:
    """Return the next lines, in no order between processes."""
    assert child.stdout is not None
    found = []
    for _ in range(count):
        found.append(child.stdout.readline().strip())
    return sorted(found)


def pids(told: list[str]) -> dict[int, int]:
    return {int(one.split()[0]): int(one.split()[1]) for one in told if one[0].isdigit()}


def test_who_dies_is_started_again_and_a_stop_is_told_to_all(tmp_path: Path) -> None:
    """A killed worker is another process a moment later; SIGTERM ends both, and then the parent, with 0."""
    with parent(tmp_path) as child:
        first = pids(lines(child, 3))
        assert set(first) == {1, 2}
        os.kill(first[2], signal.SIGKILL)
        again = pids(lines(child, 1))
        assert again[2] != first[2]
        child.terminate()
        assert lines(child, 3) == ["1 term", "2 term", "stopping"]
        assert child.wait(300) == 0


def test_a_second_signal_hurries(tmp_path: Path) -> None:
    """Who takes its time is told to end at once; one SIGTERM more that is sent to all is none of that."""
    with parent(tmp_path, slow="slow") as child:
        first = pids(lines(child, 3))
        child.terminate()
        assert lines(child, 1) == ["stopping"]
        os.kill(first[1], signal.SIGTERM)
        assert child.stdout is not None
        assert not select.select([child.stdout], [], [], 0.3)[0]
        child.terminate()
        assert lines(child, 2) == ["1 hurry", "2 hurry"]
        assert child.wait(300) == 0


def test_a_worker_that_cannot_begin_ends_all(tmp_path: Path) -> None:
    """At the first start its status is the parent's, for the supervisor to see; the others end in order."""
    with parent(tmp_path, fails="2") as child:
        assert child.wait(300) == 2


def test_workers_end_where_their_parent_is_killed(tmp_path: Path) -> None:
    """Nobody is left to listen at a port that the next parent asks for."""
    with parent(tmp_path) as child:
        lines(child, 3)
        child.kill()
        assert lines(child, 2) == ["1 alone", "2 alone"]


def test_the_others_serve_while_one_cannot_be_started(tmp_path: Path) -> None:
    """No room for a process is no end of the gateway: the worker comes once there is some."""
    with parent(tmp_path, fails="fork") as child:
        first = pids(lines(child, 3))
        os.kill(first[2], signal.SIGKILL)
        again = pids(lines(child, 1))
        assert set(again) == {2}
        assert (tmp_path / "log").read_text().count("worker_not_started") == 2
        child.terminate()
        assert lines(child, 3) == ["1 term", "2 term", "stopping"]
        assert child.wait(300) == 0


def test_a_start_for_which_there_is_no_room_is_tried_again_by_the_supervisor(
    tmp_path: Path,
) -> None:
    """At the first start it ends all with the status of what passes."""
    with parent(tmp_path, fails="first") as child:
        assert child.wait(300) == 75


def test_who_dies_soon_after_it_serves_is_started_ever_later(tmp_path: Path) -> None:
    """Its starts do not take a core from the others."""
    with parent(tmp_path, fails="brief") as child:
        lines(child, 6)
        log = (tmp_path / "log").read_text().splitlines()
        pauses = [json.loads(one)["again_in_seconds"] for one in log if "worker_died" in one]
        assert pauses[:3] == [0.1, 0.2, 0.4]


def test_who_hangs_before_it_serves_is_started_again(tmp_path: Path) -> None:
    """Nobody would ever say that all serve; the one beside it goes on."""
    with parent(tmp_path, fails="start") as child:
        assert set(pids(lines(child, 3))) == {1, 2}
        assert "worker_hangs" in (tmp_path / "log").read_text()
        child.terminate()
        assert lines(child, 3) == ["1 term", "2 term", "stopping"]


def test_who_serves_and_turns_no_more_is_started_again(tmp_path: Path) -> None:
    """A worker that hangs would hold its clients for ever; the one beside it goes on."""
    with parent(tmp_path, fails="hang") as child:
        first = pids(lines(child, 3))
        again = pids(lines(child, 1))
        assert set(again) == {2}
        assert again[2] != first[2]
        assert "worker_hangs" in (tmp_path / "log").read_text()
        child.terminate()
        assert lines(child, 3) == ["1 term", "2 term", "stopping"]
