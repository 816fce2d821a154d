"""What metrics, mirror and problems say is what the tables say, also after the fact and a restart."""

import time
from pathlib import Path
from typing import Any

import pytest
from daemon_by_hand import decide, fill, open_daemon_ledger
from ledger_by_hand import FEEDBACK, GENERATIONS, Ledger, generation
from prometheus_client import generate_latest

from rlwd.daemon.audit.audit import audit
from rlwd.daemon.commands.status import status_document, status_tables
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.doctor.doctor_services import check_services
from rlwd.daemon.status.metrics import Metrics
from rlwd.daemon.status.tallies import MOST_OFTEN, Counting
from rlwd.learner.ledger.learnable import FEWEST, SILENT, unlearnable


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A config whose state is a folder here."""
    path = tmp_path / "rlwd.toml"
    path.write_text('[learner]\nmodel = "base"\n')
    return load_config(path)


@pytest.fixture
def ledger(config: Config) -> Ledger:
    """The tables of that state."""
    return open_daemon_ledger(config.state_path / "rlwd.db")


def shown(ledger: Ledger) -> dict[str, float]:
    """Return the series of a process that started just now."""
    metrics = Metrics()
    with ledger.store.reading() as view:
        metrics.show(Counting("policy").tallies(view, time.time()).shown())
    lines = generate_latest(metrics.registry).decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def test_counters_are_those_of_the_audit(ledger: Ledger) -> None:
    """Broken records, repeats and late feedback: metrics and audit count the same, after a restart too."""
    fill(ledger, 6)
    again = generation("twice", 2000.0)
    ledger.take(again, again, b"junk", partition=GENERATIONS)
    ledger.take(b"junk", b"more junk", partition=FEEDBACK)
    with ledger.store.reading() as view:
        rows = audit(view, "policy", []).records
    series = shown(ledger)
    for outcome in ("accepted", "duplicate", "dead_lettered"):
        counted = sum(getattr(row, outcome) for row in rows)
        assert series[f'rlwd_records_total{{outcome="{outcome}"}}'] == counted
        assert counted > 0
    assert series["rlwd_late_feedback_total"] == 0.0


def test_variants_are_shown_with_what_they_earned_lately(ledger: Ledger) -> None:
    """By variant: answers of the last hour, those decided on, their mean; the oldest that waits."""
    fill(ledger, 4)
    ledger.take(generation("s.b", 1500.0, variant="arm:b"), generation("s.old", 900.0))
    with ledger.store.reading() as view:
        seen = Counting("policy").tallies(view, 4500.0)
    lately = seen.answers.lately
    assert sum(one.answers for one in lately.values()) == 5
    assert (lately["experiment"].answers, lately["experiment"].rewarded) == (1, 0)
    page: dict[str, Any] = dict(seen.shown())
    assert "experiment" not in page["rlwd_recent_reward_mean"]
    assert list(page["rlwd_recent_reward_mean"].values()) == [0.5]
    assert sum(page["rlwd_recent_rewarded_answers"].values()) == 4
    assert page["rlwd_oldest_waiting_timestamp_seconds"] == 900.0


def test_counting_all_answers_takes_little_of_the_time(ledger: Ledger) -> None:
    """A pass that took a second is not made again before 50 are over; what it counted is shown."""
    fill(ledger, 2)
    passes = iter((0.0, 1.0, 1.0 + MOST_OFTEN - 0.1, 1.0 + MOST_OFTEN, 2.0 + MOST_OFTEN))
    counting = Counting("policy", clock=lambda: next(passes))
    with ledger.store.reading() as view:
        first = counting.tallies(view, 2000.0).answers
    fill(ledger, 2, prefix="s.more")
    with ledger.store.reading() as view:
        assert counting.tallies(view, 2000.0).answers is first
        again = counting.tallies(view, 2000.0).answers
    assert again.fates.total() > first.fates.total() > 0


def test_before_the_first_count_there_are_no_values() -> None:
    """A process that has not looked yet claims no zeros: a rate would take them for a reset."""
    page = generate_latest(Metrics().registry).decode()
    assert "# TYPE rlwd_records_total counter" in page
    assert "rlwd_records_total{" not in page


def test_a_product_that_cannot_teach_is_named(config: Config, ledger: Ledger) -> None:
    """Always at temperature 0: status and doctor say that nothing can be learned from, and why."""
    for number in range(FEWEST):
        decide(ledger, f"g{number}", 1000.0 + number, sampling={"temperature": 0.0})
    document = status_document(config, 3000.0)
    told = document["problems"]["answers"]
    assert told.startswith(
        "100% of the last 50 decided answers cannot be learned from: greedy 100%"
    )
    assert "temperature 0" in told
    assert f"problem, answers: {told}" in [str(part) for part in status_tables(document)]
    assert [f.seen for f in check_services(config) if f.what == "answers"] == [told]


def test_a_product_without_feedback_is_named(config: Config, ledger: Ledger) -> None:
    """Hundreds of answers that nobody decides are a stall too; one that is decided ends it."""
    ledger.take(*(generation(f"s{number}", 1000.0) for number in range(SILENT)))
    ledger.take(generation("unasked", 1000.0, consent=False))
    ledger.close(5000.0)
    told = status_document(config, 6000.0)["problems"]["answers"]
    assert told.startswith(f"none of the last {SILENT} answers was decided by feedback")
    fill(ledger, 1, prefix="s.ok", at=6000.0)
    assert "answers" not in status_document(config, 6000.0)["problems"]


def test_a_product_that_teaches_is_not_accused(ledger: Ledger) -> None:
    """A few usable answers among many that are not, or too few to say, are no problem."""
    for number in range(FEWEST - 1):
        decide(ledger, f"g{number}", 1000.0 + number, sampling={"temperature": 0.0})
    with ledger.store.reading() as view:
        assert unlearnable(view, "policy") is None
    fill(ledger, 10, prefix="s.ok", at=2000.0)
    decide(ledger, "one-more", 2500.0, sampling={"temperature": 0.0})
    with ledger.store.reading() as view:
        assert unlearnable(view, "policy") is None
    for number in range(200):
        decide(ledger, f"m{number}", 3000.0 + number, sampling={"top_p": 0.5})
    with ledger.store.reading() as view:
        told = unlearnable(view, "policy")
    assert told is not None
    assert "cut_sampling 77%, greedy 19%" in told
