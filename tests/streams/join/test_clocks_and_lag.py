"""Wrong clocks decide nothing, and a gateway's backlog loses nothing (CONTRACTS 9)."""

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from ledger_by_hand import FEEDBACK, Ledger, feedback, generation, open_ledger

from rlwd.daemon.commands.replay import replay
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.answers.answer_tallies import count_fates
from rlwd.streams.events.signals import Accepted, Rejected, Signal, Undone
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.embedded_log import EmbeddedSink, EmbeddedSource
from rlwd.streams.open import open_store

CASES = Path(__file__).parent / "cases"
HOUR = 3600.0
SLOW = Spec(name="slow", parts={"accepted": 1.0}, decision={"default": HOUR}, ready={"default": 60})


def test_an_acceptance_stamped_in_the_future_does_not_beat_the_later_undo(tmp_path: Path) -> None:
    """The case as it was recorded: accepted by a clock a day ahead, then undone."""
    report = replay(CASES / "clock_skew.jsonl", "events", tmp_path)
    assert (report["accepted"], report["rejected"]) == (0, 1)


@pytest.mark.parametrize("stamped", [-3e8, 90.0, 1e6, 4e8])
def test_of_two_acts_the_one_received_later_decides_where_a_clock_is_wrong(
    ledger: Ledger, stamped: float
) -> None:
    """An act counts as done between its answer and its receipt, whatever its own clock says."""
    ledger.take(generation("g", 1000.0))
    ledger.take(
        feedback("a", "g", Accepted(), 1010.0, acted=1000.0 + stamped),
        feedback("u", "g", Undone(), 1020.0),
        partition=FEEDBACK,
    )
    assert ledger.ask("SELECT reward FROM episodes") == (0.0,)


def test_an_undo_by_a_slow_clock_still_follows_what_it_undoes(ledger: Ledger) -> None:
    """Both acts stamped before the answer: they keep the order of their receipt."""
    ledger.take(
        feedback("a", "g", Accepted(), 1010.0, acted=500.0),
        feedback("u", "g", Undone(), 1020.0, acted=400.0),
        partition=FEEDBACK,
    )
    ledger.take(generation("g", 1000.0))
    assert ledger.ask("SELECT reward FROM episodes") == (0.0,)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[EmbeddedSink, Ingest]]:
    """A log of four partitions for each topic, and the daemon that reads it."""
    sink = EmbeddedSink(tmp_path / "log.db", partitions=4)
    store = open_store(tmp_path / "rlwd.db")
    joiner = Joiner("policy", Scorer(SLOW), SLOW.decision_seconds)
    opens = partial(EmbeddedSource, tmp_path / "log.db", ("generations", "feedback"), partitions=4)
    ingest = Ingest(store, joiner, opens)
    yield sink, ingest
    ingest.source.close()
    sink.close()
    store.close()


def said_by(dice: random.Random) -> list[Signal]:
    """A decision, sometimes taken back: within the minute after which an episode is ready."""
    if dice.random() < 0.3:
        return [Accepted(), Undone()]
    decided: Signal = Accepted() if dice.random() < 0.5 else Rejected()
    return [decided]


def backlog(dice: random.Random, count: int, began: float) -> list[tuple[str, str, bytes]]:
    """What a gateway spooled while it was cut off, in the order in which it happened."""
    found: list[tuple[float, str, str, bytes]] = []
    for number in range(count):
        name, session, at = f"late.{number}", f"late{number % 40}", began + number
        found.append((at, "generations", session, generation(name, at)))
        for turn, signal in enumerate(said_by(dice)):
            then = at + 5.0 + 20.0 * turn
            value = feedback(f"{name}.{turn}", name, signal, then)
            found.append((then, "feedback", session, value))
    return [each[1:] for each in sorted(found, key=lambda one: one[0])]


def test_a_backlog_of_hours_beside_live_gateways_censors_nobody_and_replays_alike(
    live: tuple[EmbeddedSink, Ingest], tmp_path: Path
) -> None:
    """One gateway was cut off for three hours and sends 600 decided answers; others go on.

    Polls are small and horizons close after each, so that an answer is read long before its feedback.
    """
    sink, ingest = live
    dice, now = random.Random(7), 100_000.0
    pending = backlog(dice, 600, now - 3 * HOUR)
    step = 0
    while pending or step < 900:
        for topic, session, value in pending[:40]:
            sink.send(topic, session, value)
        pending = pending[40:]
        for gateway in range(3):
            name, session = f"live{gateway}.{step}", f"live{gateway}-{step % 9}"
            sink.send("generations", session, generation(name, now))
            sink.send("feedback", session, feedback(f"f{name}", name, Accepted(), now + 0.4))
        sink.flush(30.0)
        ingest.step(now + 0.5, 0.0, 25)
        ingest.close_horizons(now + 0.5)
        step, now = step + 1, now + 1.0
    for _ in range(200):
        ingest.step(now, 0.0, 500)
        ingest.close_horizons(now)
        now += 60.0
    with ingest.store.reading() as view:
        assert view.execute("SELECT COUNT(*) FROM dead_letters").fetchone() == (0,)
        assert count_fates(view, "policy") == {"waiting": 600 + 3 * step}
        rows = "SELECT generation_id, stage, reward, late FROM episodes ORDER BY generation_id"
        lived = view.execute(rows).fetchall()
    again = open_ledger(tmp_path / "again.db")
    joiner = Joiner("policy", Scorer(SLOW), SLOW.decision_seconds)
    opens = partial(EmbeddedSource, tmp_path / "log.db", ("generations", "feedback"), partitions=4)
    replayed = Ingest(again.store, joiner, opens)
    while replayed.step(0.0, 0.0, 2000).counts.delivered:
        pass
    with again.store.transaction() as tx:
        while joiner.close_horizons(tx, 0.0, read_past=float("inf")):
            pass
    with again.store.reading() as view:
        assert view.execute(rows).fetchall() == lived
    replayed.source.close()
    again.store.close()


def test_an_answer_that_nobody_decided_is_still_given_up_after_a_backlog(
    live: tuple[EmbeddedSink, Ingest],
) -> None:
    """Waiting for the log behind a late answer ends: it is censored, and its strays are refused."""
    sink, ingest = live
    now = 100_000.0
    sink.send("generations", "s", generation("undecided", now - 3 * HOUR))
    sink.send("feedback", "t", feedback("f", "never", Accepted(), now - 3 * HOUR))
    sink.flush(10.0)
    ingest.step(now, 0.0, 100)
    assert ingest.close_horizons(now) == 0
    for _ in range(20):
        now += 60.0
        ingest.step(now, 0.0, 100)
        ingest.close_horizons(now)
    with ingest.store.reading() as view:
        assert count_fates(view, "policy") == {"censored:no_decision": 1}
        (reason,) = view.execute("SELECT reason FROM dead_letters").fetchone()
    assert reason.startswith("unknown_generation: never")
