"""Shared counts: what several processes count of one gateway is counted once, also where one is killed."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rlwd.daemon.callers.directory import ClientDirectory, TooMany
from rlwd.daemon.callers.settings import ClientSettings
from rlwd.daemon.http.credentials import hash_token
from rlwd.daemon.workers.shared_counts import SharedAllowances, SharedCounts

NOW = 1_790_000_000.0


@contextmanager
def in_a_process(work: Callable[[], int]) -> Iterator[tuple[int, Callable[[], int]]]:
    """Do the work in a process of its own; give its id, and what waits for the number it returns."""
    pid = os.fork()
    if pid == 0:
        status = 255
        try:
            status = work()
        finally:
            os._exit(status)
    yield pid, lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def taken(counts: SharedCounts, what: str) -> int:
    """Call as often as a worker's client may, to 200; return how often it was let."""
    limits = ClientSettings(
        tokens=(hash_token("t"),), requests_per_minute=90, requests_per_day=70, feedback_per_day=0
    )
    allowances = SharedAllowances(counts)
    caller = ClientDirectory("", {"a": limits}, allowances=allowances).find("t")
    let = 0
    for _ in range(200):
        try:
            if what == "rate":
                caller.spend_rate(NOW)
            else:
                caller.spend("requests", NOW)
            let += 1
        except TooMany:
            pass
    return let


@pytest.mark.parametrize(("what", "most"), [("rate", 90), ("day", 70)])
def test_a_clients_limit_is_of_all_workers_together(tmp_path: Path, what: str, most: int) -> None:
    """Two processes that call at once are let as often as one would be."""
    counts = SharedCounts(2, ["a"], tmp_path)
    with in_a_process(lambda: taken(counts, what)) as (_, first):
        second = taken(counts, what)
        assert first() + second == most


def test_connections_are_counted_over_all_workers(tmp_path: Path) -> None:
    """A killed worker's connections are free again, and a lock that it held is nobody's."""
    counts = SharedCounts(2, [], tmp_path)
    for number in (1, 2):
        counts.begin(number)
    told, tell = os.pipe()

    def connects() -> int:
        assert all(counts.connect(2, 3) for _ in range(2))
        with counts.alone():
            os.write(tell, b"1")
            signal.pause()
        return 0

    with in_a_process(connects) as (child, ended):
        os.read(told, 1)
        os.kill(child, signal.SIGKILL)
        assert ended() == -signal.SIGKILL
    assert counts.connect(1, 3)
    assert not counts.connect(1, 3)
    counts.end(2)
    assert counts.connect(1, 3)
    counts.disconnect(1)
    assert counts.connect(1, 2)
    assert not counts.connect(1, 2)
    for one in (told, tell):
        os.close(one)
