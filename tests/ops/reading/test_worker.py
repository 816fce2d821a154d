"""A judge that does not answer keeps nobody: not other texts, nor training, nor the end."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_by_hand import open_daemon_ledger
from gateway_rig import LoopThread, RecordingSink
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation
from scripted_judge import ScriptedJudge

from rlwd.ops.reading import worker as worker_file
from rlwd.ops.reading.settings import JudgeSettings, SatisfactionSettings
from rlwd.ops.reading.settle import settle_readings
from rlwd.ops.reading.worker import ReadingWorker
from rlwd.streams.events.event import FeedbackEvent
from rlwd.streams.events.signals import FollowedUp
from rlwd.streams.readings.reading_tallies import tallies_of

pytestmark = pytest.mark.timeout(300)
HELD = "take your time"
NAMES = {"reader", "judge"}


class WorkerRig:
    """A worker on a real state database, with a judge that answers when it is let to."""

    def __init__(self, folder: Path, server: ScriptedJudge) -> None:
        self.folder, self.server = folder, server
        self.ledger: Ledger = open_daemon_ledger(folder / "rlwd.db")
        self.sink = RecordingSink()
        self.worker = self.follow()

    def follow(self, *, judge: bool = True, **settings: Any) -> ReadingWorker:
        """Read by these settings from now on: every answer is marked, where there is a judge."""
        if judge:
            # A call is given up after longer than any test lasts.
            door = JudgeSettings(
                url=self.server.url,
                model="m",
                votes=1,
                concurrency=2,
                timeout_seconds=600.0,
                tenants=("*",),
            )
            settings = {
                "judge": door,
                "rubrics": {"polite": "Is it polite?"},
                "rubric_share": 1.0,
                **settings,
            }
        given = SatisfactionSettings(retrain_seconds=0.0, **settings)
        self.ledger.joiner.readings = given.scope()
        self.ledger.joiner.reader.readings = given.scope()
        self.worker = ReadingWorker(
            self.ledger.store,
            "policy",
            given,
            self.folder / "readers",
            self.sink,
            "rlwd.feedback",
            b"k" * 16,
        )
        return self.worker

    def answer(self, name: str, text: str = "abcd") -> None:
        """Let somebody get an answer and write back."""
        self.ledger.take(generation(name, 1.0, text=text), now=time.time())
        wrote = feedback(f"{name}.f", name, FollowedUp(text="that is wrong"), 2.0)
        self.ledger.take(wrote, partition=FEEDBACK, now=time.time())

    def written(self) -> set[tuple[str, str]]:
        """What was read, each with its rubric."""
        return {
            (one.data.generation_id, one.data.signal.rubric)  # type: ignore[union-attr]
            for one in self.sink.flushed
            if isinstance(one, FeedbackEvent)
        }

    def until(self, so: Callable[[], bool]) -> None:
        """Ask the worker until it is so, as the loop does."""
        while not so():
            settle_readings(self.ledger.store, "policy", self.worker, time.time())
            time.sleep(0.01)

    def told(self) -> dict[str, int]:
        settle_readings(self.ledger.store, "policy", self.worker, time.time())
        with self.ledger.store.reading() as view:
            return dict(tallies_of(view, "policy"))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WorkerRig]:
    loop, server = LoopThread(), ScriptedJudge()
    loop.run(server.start())
    made = WorkerRig(tmp_path, server)
    yield made
    # First of all: whoever waits for the server waits no longer.
    server.holds = ""
    made.worker.stop()
    loop.run(server.runner.cleanup())
    loop.close()
    made.ledger.store.close()


def test_a_text_that_takes_long_keeps_neither_others_nor_training(rig: WorkerRig) -> None:
    """Each is written as it is done; younger ones too, and the reader trains meanwhile."""
    rig.server.holds = HELD
    rig.answer("slow", HELD)
    rig.answer("g1", "one")
    rig.worker.start()
    rig.until(lambda: rig.written() == {("g1", "polite")})
    rig.answer("g2", "two")
    rig.until(lambda: rig.written() == {("g1", "polite"), ("g2", "polite")})
    trained = rig.worker.learned.state.trained_at
    rig.worker.train_soon()
    rig.until(lambda: rig.worker.learned.state.trained_at > trained > 0)
    assert len([one for one in rig.server.asked if HELD in str(one)]) == 1
    rig.server.holds = ""
    rig.until(lambda: ("slow", "polite") in rig.written())


def test_a_turn_gives_way_and_the_next_one_goes_on(
    rig: WorkerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked is asked once; what comes of it is written by a later turn."""
    monkeypatch.setattr(worker_file, "TURN_SECONDS", 0.2, raising=False)
    worker = rig.follow(reader="judge")
    rig.server.holds = HELD
    for number in range(3):
        rig.answer(f"g{number}", f"{HELD} {number}")
    assert worker.turn(time.time()) == 0
    assert worker.turn(time.time()) == 0
    rig.server.holds = ""
    written = 0
    while written < 6:
        written += worker.turn(time.time())
    assert rig.written() == {(f"g{n}", rubric) for n in range(3) for rubric in ("", "polite")}
    assert len(rig.server.asked) == 6


def test_the_end_waits_for_no_call(rig: WorkerRig) -> None:
    """The judge still holds both callers when the threads have ended."""
    before = set(threading.enumerate())
    rig.server.holds = HELD
    for number in range(3):
        rig.answer(f"g{number}", f"{HELD} {number}")
    rig.worker.start()
    rig.until(lambda: len(rig.server.asked) == 2)
    rig.worker.stop()
    while {one.name for one in set(threading.enumerate()) - before} & NAMES:
        time.sleep(0.01)
    assert rig.worker.problem is None
    assert len(rig.server.asked) == 2


def test_a_process_ends_in_mid_call(rig: WorkerRig) -> None:
    """A command that was asking a judge as it was stopped leaves at once."""
    rig.server.holds = HELD
    program = f"""
import threading, time
from rlwd.ops.reading.judge import Judge
from rlwd.ops.reading.settings import JudgeSettings
from rlwd.rewards.satisfaction.message import NextMessage
judge = Judge(JudgeSettings(url={rig.server.url!r}, model="m", timeout_seconds=600.0), lambda: (0, 0))
asked = [(NextMessage(text={HELD!r}), "")]
threading.Thread(target=judge.read, args=(asked,), daemon=True).start()
while not judge.take_told()["calls"]:
    time.sleep(0.01)
judge.close()
"""
    ended = subprocess.run([sys.executable, "-c", program], timeout=300, check=False)
    assert ended.returncode == 0


def test_messages_of_a_silent_reader_keep_no_answer_from_being_marked(rig: WorkerRig) -> None:
    """However many of them wait, and for however long."""
    with rig.ledger.store.transaction() as tx:
        waiting = [("policy", f"w{n}", f"m{n}", "", time.time() - 60.0) for n in range(2001)]
        tx.executemany("INSERT INTO unread VALUES (?, ?, ?, ?, ?)", waiting)
    rig.answer("g1")
    assert rig.worker.turn(time.time()) == 1
    assert rig.written() == {("g1", "polite")}


@pytest.mark.parametrize("reader", ["learned", "off"])
def test_what_nobody_reads_any_more_is_given_up_by_name(rig: WorkerRig, reader: str) -> None:
    """The judge was taken out of the configuration, or all was put off, while texts waited."""
    rig.answer("g1")
    rig.answer("g2")
    worker = rig.follow(judge=False, reader=reader)
    assert worker.turn(time.time()) == 0
    waiting = 0 if reader == "off" else 2
    assert rig.told() == {"no_reader": 4 - waiting}
    assert rig.ledger.ask("SELECT COUNT(*) FROM unread") == (waiting,)
    assert worker.turn(time.time()) == 0
    # And without anybody's asking for a turn by hand.
    worker.start()
    rig.until(lambda: worker.problem is None)


def test_a_rubric_that_is_gone_gives_its_answers_up(rig: WorkerRig) -> None:
    """The others are marked."""
    rig.follow(rubrics={"polite": "Is it polite?", "short": "Is it short?"})
    rig.answer("g1")
    worker = rig.follow()
    assert worker.turn(time.time()) == 1
    assert rig.written() == {("g1", "polite")}
    assert rig.told()["no_reader"] == 1
