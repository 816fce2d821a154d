"""A state with answers whose rewards are asked about."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from reward_shop import RewardShop, open_reward_shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[RewardShop]:
    """Answers of two segments and two weeks."""
    made = open_reward_shop(tmp_path)
    yield made
    made.ledger.store.close()
