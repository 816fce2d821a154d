"""A small ledger for each test of the join."""

from collections.abc import Callable
from pathlib import Path

import pytest
from ledger_by_hand import Ledger, open_ledger


@pytest.fixture
def make_ledger(tmp_path: Path) -> Callable[[], Ledger]:
    """Open the ledger of this test; called again it is what a restart would see."""
    return lambda: open_ledger(tmp_path / "rlwd.db")


@pytest.fixture
def ledger(make_ledger: Callable[[], Ledger]) -> Ledger:
    """One open ledger."""
    return make_ledger()
