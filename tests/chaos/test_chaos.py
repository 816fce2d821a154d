"""Chaos, in its short form: ten kills under traffic lose nothing and count nothing twice."""

from pathlib import Path

import pytest
from chaos import run_chaos

from rlwd.streams.state.crash_points import CrashPoint


@pytest.mark.kafka
@pytest.mark.timeout(1800)
def test_ten_kills_lose_nothing(tmp_path: Path) -> None:
    """Gateway, daemon, learner, broker and engine die at random, and every identity still closes."""
    report = run_chaos(tmp_path, kills=10, seed=1, rate=15.0)
    assert report["problems"] == []
    assert sum(report["kills"].values()) == 10
    assert report["answers"] > 20
    assert report["feedback"] > 50


@pytest.mark.kafka
@pytest.mark.timeout(1800)
def test_dying_between_two_durable_writes_loses_nothing(tmp_path: Path) -> None:
    """The daemon dies once at each such instant, and what it left half done is finished once.

    One version's files are spoilt while it is on offer, one is taken back by an operator whose
    command dies half-way.
    """
    report = run_chaos(tmp_path, kills=0, seed=2, rate=15.0, instants=True)
    assert report["problems"] == []
    assert sum(report["kills"].values()) == len(CrashPoint)
    assert report["checkpoints"] > 1
