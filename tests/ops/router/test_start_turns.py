"""Who starts on which device, and when."""

import threading
from collections.abc import Callable

from waiting import until

from rlwd.ops.router.start_turns import StartTurns


class Started:
    """A server that starts until it is told not to."""

    def __init__(self, turns: StartTurns, device: str, version: str, *, missed: bool) -> None:
        self.turns, self.device, self.version, self.missed = turns, device, version, missed
        self.behind: list[str] = []
        self.holds, self.made_way = threading.Event(), threading.Event()
        self.over, self.given_up = threading.Event(), False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def make_way(self) -> None:
        self.made_way.set()

    def end(self) -> None:
        self.over.set()
        self._thread.join(60.0)

    def _run(self) -> None:
        with self.turns.taken(self.device, self, self._waits) as taken:
            if taken:
                self.holds.set()
                self.over.wait(60.0)

    def _waits(self, behind: str) -> bool:
        self.behind.append(behind)
        return not self.over.is_set()


def starts(turns: StartTurns, version: str, *, missed: bool = False, device: str = "") -> Started:
    return Started(turns, device, version, missed=missed)


def until_it_waits(one: Started) -> None:
    until(lambda: len(one.behind) > 2)


def test_what_people_had_goes_before_what_waited_for_longer() -> None:
    """A device that becomes free is theirs, however many new versions stand in line for it."""
    turns = StartTurns()
    first = starts(turns, "first", missed=True)
    assert first.holds.wait(60.0)
    new = [starts(turns, f"new {number}") for number in range(5)]
    for one in new:
        until_it_waits(one)
    champion = starts(turns, "champion", missed=True)
    until_it_waits(champion)
    assert not first.made_way.is_set(), "people miss it, too"
    first.end()
    assert champion.holds.wait(60.0)
    assert not any(one.holds.is_set() for one in new)
    champion.end()
    until(lambda: any(one.holds.is_set() for one in new))
    for one in new:
        one.end()


def test_devices_that_share_a_gpu_are_one() -> None:
    """A server on two GPUs waits for one that starts on either, and one on another GPU for nobody."""
    turns = StartTurns()
    both = starts(turns, "both", device="0,1")
    assert both.holds.wait(60.0)
    second, third = starts(turns, "second", device="1"), starts(turns, "third", device="2")
    assert third.holds.wait(60.0)
    until_it_waits(second)
    assert {*second.behind} == {"both"}
    both.end()
    assert second.holds.wait(60.0)
    for one in (second, third):
        one.end()


def test_who_is_not_wanted_any_more_leaves_the_line() -> None:
    """It takes no device, and what it waited for as somebody's is no longer kept for it."""
    turns = StartTurns()
    first = starts(turns, "first", missed=True)
    assert first.holds.wait(60.0)
    missed, new = starts(turns, "missed", missed=True), starts(turns, "new")
    ways: list[Callable[[], None]] = [missed.end, first.end]
    for one in (missed, new):
        until_it_waits(one)
    for way in ways:
        way()
    assert new.holds.wait(60.0)
    assert not missed.holds.is_set()
    new.end()
