"""Lines of versions on a benchmark: small losses are refused by their sum, and a line that loses nothing is let be."""

import pytest
from replay_lines import Habit, equal_line, line_life


@pytest.mark.parametrize(
    ("metric", "step"), [("asks", 0.03), ("length", 0.1), ("worth", -0.02), ("taken", -0.1)]
)
def test_small_steps_add_up_beside_v0(metric: str, step: float) -> None:
    """Of ten versions, each no worse than its champion by more than the bound, the last ones are refused."""
    habit = Habit(metric=metric, step=step)
    assert line_life(habit, 50, 0, with_v0=False, versions=10).refused == 0
    life = line_life(habit, 50, 0, with_v0=True, versions=10)
    assert 3 <= life.first <= 10
    assert life.steps < 10


def test_a_line_that_answers_as_v0_is_let_be() -> None:
    """Ten versions with all of v0's slips."""
    assert equal_line(25, 0, versions=10) == 0
