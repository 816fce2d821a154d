"""A small ledger for each test of the join, on either state database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ledger_by_hand import Ledger, open_ledger
from places_by_hand import Place, new_schema


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where an empty state database may be made, of each kind in turn."""
    if request.param == "sqlite":
        return tmp_path / "rlwd.db"
    return new_schema(request.getfixturevalue("postgres_url"))


@pytest.fixture
def make_ledger(place: Place) -> Iterator[Callable[[], Ledger]]:
    """Open the ledger of this test; called again it is what a restart would see."""
    opened: list[Ledger] = []

    def make() -> Ledger:
        opened.append(open_ledger(place))
        return opened[-1]

    yield make
    for each in opened:
        each.store.close()


@pytest.fixture
def ledger(make_ledger: Callable[[], Ledger]) -> Ledger:
    """One open ledger."""
    return make_ledger()
