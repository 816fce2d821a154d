"""Chaos, in its short form: ten kills under traffic lose nothing and count nothing twice."""

from pathlib import Path

import pytest

from rlwd.daemon.chaos import run_chaos


@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_ten_kills_lose_nothing(tmp_path: Path) -> None:
    """Gateway, daemon, learner, broker and engine die at random, and every identity still closes."""
    report = run_chaos(tmp_path, kills=10, seed=1, rate=15.0)
    assert report["problems"] == []
    assert sum(report["kills"].values()) == 10
    assert report["answers"] > 50
    assert report["feedback"] > 50
