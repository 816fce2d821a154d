"""Lines of versions that drift slowly: their sum is found, and a line that does not drift is let be."""

import pytest
from slow_drift import line_life


@pytest.mark.parametrize("seed", range(3))
def test_small_steps_are_found_by_their_sum_alone(seed: int) -> None:
    """Each asks in three of 100 answers more than the one before: beside its control none is alarmed at."""
    life = line_life(0.03, 40, seed, versions=10)
    assert life.by_control == 0
    assert 3 <= life.in_total <= 10


@pytest.mark.parametrize("seed", range(3))
def test_a_line_that_behaves_as_v0_is_let_be(seed: int) -> None:
    """Ten versions that ask as often as it does."""
    assert line_life(0.0, 40, seed, versions=10) == (0, 0)
