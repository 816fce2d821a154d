"""A daemon is killed while its judge reads: nothing counts twice, and the day's budget holds."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_rig import LoopThread
from ledger_by_hand import feedback, generation
from lone_daemon import Workshop
from scripted_judge import ScriptedJudge

from rlwd.streams.events.signals import FollowedUp
from rlwd.streams.log.embedded_log import EmbeddedSink

pytestmark = pytest.mark.timeout(900)

MESSAGES, BUDGET = 24, 16
SATISFACTION = """\
[satisfaction]
reader = "judge"
[satisfaction.judge]
url = "{url}"
model = "judge"
tenants = ["*"]
votes = 1
concurrency = 2
calls_per_day = {budget}
"""


@pytest.fixture
def judge() -> Iterator[ScriptedJudge]:
    """A judge that takes its time."""
    loop, server = LoopThread(), ScriptedJudge()
    loop.run(server.start())
    server.slow = 0.5
    yield server
    loop.run(server.runner.cleanup())
    loop.close()


@pytest.fixture
def shop(tiny_policy: Path, tmp_path: Path, judge: ScriptedJudge) -> Iterator[Workshop]:
    """A state whose daemons ask this judge, within a budget that is less than there is to read."""
    more = SATISFACTION.format(url=judge.url, budget=BUDGET)
    made = Workshop(tmp_path, tiny_policy, passes=1, poll_seconds=0.05, more=more)
    yield made
    made.close()


def write_back(shop: Workshop) -> None:
    """Let people write back to so many answers, each something else."""
    sink, now = EmbeddedSink(shop.config.log_path), time.time()
    for number in range(MESSAGES):
        name = f"s{number}.g"
        sink.send(shop.config.stream.generations, name, generation(name, now))
        wrote = FollowedUp(text=f"that is wrong, number {number}")
        sink.send(shop.config.stream.feedback, name, feedback(f"w{number}", name, wrote, now))
    sink.flush(10.0)
    sink.close()


def judged(shop: Workshop) -> Counter[str]:
    """Return how many readings count on each answer."""
    rows = shop.ask("SELECT generation_id FROM feedback WHERE kind = 'judged' AND dead = 0")
    return Counter(name for (name,) in rows)


def calls_told(shop: Workshop) -> int:
    """Return the calls of today that are in the tables."""
    rows = shop.ask("SELECT COALESCE(SUM(count), 0) FROM reading_tallies WHERE what = 'calls'")
    return int(rows[0][0])


def test_a_kill_in_the_middle_of_reading(shop: Workshop, judge: ScriptedJudge) -> None:
    """The next daemon reads on, one reading a message; what was asked in the last second is forgotten."""
    first = shop.daemon("first")
    first.start()
    write_back(shop)
    shop.until(lambda: calls_told(shop) >= 4)
    first.kill_alone()
    asked, told = len(judge.asked), calls_told(shop)
    assert 0 < len(judged(shop)) < BUDGET
    shop.daemon("second").start()
    shop.until(lambda: calls_told(shop) >= BUDGET)
    shop.until(lambda: sum(judged(shop).values()) >= BUDGET - 2)
    assert set(judged(shop).values()) == {1}
    assert told < len(judge.asked) <= BUDGET + asked - told
