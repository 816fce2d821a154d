"""Timers only ask: the loop does the work, each kind once however often it was asked for."""

import threading
import time

from rlwd.daemon.control.timers import PERIODS, Intent, Timers


def test_what_was_asked_twice_is_done_once() -> None:
    """A loop that is behind finds each intent once, in the order they were first asked for."""
    jobs = Timers({})
    for intent in (Intent.MEASURE, Intent.MIRROR, Intent.MEASURE, Intent.MEASURE):
        jobs.ask(intent)
    assert list(jobs.drain()) == [Intent.MEASURE, Intent.MIRROR]
    assert list(jobs.drain()) == []


def test_any_thread_may_ask() -> None:
    """What many threads ask for at once is neither lost nor doubled."""
    jobs = Timers({})
    threads = [threading.Thread(target=jobs.ask, args=(intent,)) for intent in Intent for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(jobs.drain()) == set(Intent)


def test_the_scheduler_asks_again_and_again_until_stopped() -> None:
    """A real scheduler asks at its period, and is silent after the stop."""
    jobs = Timers({Intent.CLOSE_HORIZONS: 0.02})
    jobs.start()
    deadline, heard = time.monotonic() + 10.0, 0
    while heard < 3 and time.monotonic() < deadline:
        heard += len(list(jobs.drain()))
        time.sleep(0.01)
    jobs.stop()
    jobs.stop()  # Asked twice is asked once.
    assert heard >= 3


def test_every_intent_has_its_period() -> None:
    """No kind of work is left that nobody asks for."""
    assert set(PERIODS) == set(Intent)
