"""What the overview reads of the tables, on either kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_by_hand import fill, open_daemon_ledger
from ledger_by_hand import Ledger
from places_by_hand import new_schema

from rlwd.daemon.charts.curves import read_curves
from rlwd.ops.looks.looks_table import last_looks


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """Forty decided answers of one version, every other one accepted, and two hundred after them."""
    place: Path | str = tmp_path / "rlwd.db"
    if request.param == "postgres":
        place = new_schema(request.getfixturevalue("postgres_url"))
    ledger = open_daemon_ledger(place)
    fill(ledger, 40, at=1000.0)
    fill(ledger, 200, prefix="t.g", at=1039.0 - 0.001)
    yield ledger
    ledger.store.close()


def test_reward_and_accept_rate_by_version(ledger: Ledger) -> None:
    """Points of few answers are left out; of the rest reward and accept rate are what was decided."""
    with ledger.store.reading() as view:
        curves = read_curves(view, "policy")
        assert last_looks(view, "policy") == {}
        assert read_curves(view, "nobody").reward == []
    (reward,), (accepted,) = curves.reward, curves.accepted
    assert reward.name == accepted.name == "v000000-00000000"
    assert len(reward.points) == len(accepted.points) > 5
    for _, value in (*reward.points, *accepted.points):
        assert value == pytest.approx(0.5, abs=0.11)
    times = [at for at, _ in reward.points]
    assert times == sorted(times)
    assert 1000.0 < times[0] < times[-1] < 1240.0
