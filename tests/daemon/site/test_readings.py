"""The page of readings: what was read, what was not and why, and the reliability curve."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from daemon_by_hand import open_daemon_ledger
from pages_by_hand import ServedPages, served
from prometheus_client import generate_latest
from said_by_hand import said

from rlwd.daemon.status.metrics import Metrics
from rlwd.daemon.status.reading_metrics import reading_values
from rlwd.ops.reading.reader_folder import ReaderState, keep, load_reader, load_state
from rlwd.rewards.satisfaction.learned import LearnedReader
from rlwd.rewards.satisfaction.training import train
from rlwd.streams.readings.reading_tallies import add_tallies


@cache
def reader() -> LearnedReader:
    """A reader, trained when it is first asked for."""
    return train(said(400))


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[ServedPages]:
    """Pages on tables that count some readings."""
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    with ledger.store.transaction() as tx:
        add_tallies(tx, "policy", 1.0, {"satisfied": 1234, "tenant_refuses": 56, "calls": 789})
    with served(tmp_path, ledger.store) as pages:
        yield pages


def test_before_it_learned_anything_it_says_so(pages: ServedPages) -> None:
    """And what was counted nevertheless, on days before."""
    text = pages.text("/readings")
    for words in ("nothing was learned yet", "1,234", "tenant lets nothing go", "56", "789"):
        assert words in text
    assert "<svg" not in text.split("<main", 1)[-1]


def test_the_reader_is_shown_with_its_curve(pages: ServedPages, tmp_path: Path) -> None:
    """Version, evidence on people whom it had not met, and a point for each bin."""
    folder = tmp_path / "readers"
    keep(folder, ReaderState(version=reader().version, trained_at=5.0, silent=""), reader())
    text = pages.text("/readings")
    held = reader().evidence.held_out
    assert reader().version in text
    assert f"{held.calibration_error:.3f}" in text
    assert "What the reader says and what was decided" in text
    assert text.count('<circle class="dot c0"') == len(held.bins)
    assert f"was {held.bins[0].was:.2f}, of {held.bins[0].count}" in text


def test_a_silent_reader_says_why(pages: ServedPages, tmp_path: Path) -> None:
    """What it was made from stands there all the same."""
    folder = tmp_path / "readers"
    silent = "its calibration error of 0.070 is above 0.05"
    keep(folder, ReaderState(version=reader().version, silent=silent), reader())
    assert silent in pages.text("/readings")


def test_a_folder_keeps_what_it_can_read(tmp_path: Path) -> None:
    """A damaged reader, a foreign file and a state that is no JSON are none; old ones are let go."""
    assert load_state(tmp_path) == ReaderState()
    keep(tmp_path, ReaderState(version=reader().version, silent=""), reader())
    again = load_reader(tmp_path, reader().version)
    assert again is not None
    assert again.version == reader().version
    (file,) = tmp_path.glob("*.npz")
    file.write_bytes(file.read_bytes()[:-9])
    assert load_reader(tmp_path, reader().version) is None
    assert load_reader(tmp_path, "learned@0") is None
    (tmp_path / "state.json").write_text("{")
    assert load_state(tmp_path) == ReaderState()


def test_what_was_read_is_in_the_metrics() -> None:
    """By class; what was not, by why; what the judge cost; what waits."""
    metrics = Metrics()
    metrics.show(reading_values({"satisfied": 3, "too_late": 2, "tokens": 50}, waiting=7))
    text = generate_latest(metrics.registry).decode()
    for line in (
        'rlwd_readings_total{direction="satisfied"} 3.0',
        'rlwd_readings_total{direction="neutral"} 0.0',
        'rlwd_not_read_total{why="too_late"} 2.0',
        "rlwd_judge_tokens_total 50.0",
        "rlwd_unread 7.0",
    ):
        assert line in text
