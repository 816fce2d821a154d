"""Minibatches: how a batch's episodes are dealt to the steps of a pass."""

from hypothesis import given
from hypothesis import strategies as st

from rlwd.learner.train.weight import minibatches


def test_equal_weights_make_equal_steps() -> None:
    """A hundred episodes at 64 are two steps of 50, and at any scale of the weights."""
    for weight in (1.0, 0.3, 4.0):
        dealt = minibatches([[i] for i in range(100)], [weight] * 100, 64)
        assert [len(each) for each in dealt] == [50, 50]


def test_answers_that_count_for_little_buy_no_steps() -> None:
    """384 answers of weight 0.04 beside 256 of weight 1 make 5 steps and not 10."""
    weights = [1.0] * 256 + [0.04] * 384
    order = [[index * 7 % 640] for index in range(640)]
    dealt = minibatches(order, weights, 64)
    assert len(dealt) == 5
    for each in dealt:
        assert abs(sum(weights[index] for index in each) - sum(weights) / 5) <= 1.0


@given(st.lists(st.floats(1e-3, 4.0), min_size=1, max_size=60), st.integers(1, 70))
def test_all_are_dealt_once_and_no_step_is_empty(weights: list[float], size: int) -> None:
    """Every episode is in one step, in the order given, and no more steps are made than by count."""
    dealt = minibatches([[i] for i in range(len(weights))], weights, size)
    assert [index for each in dealt for index in each] == list(range(len(weights)))
    assert all(dealt)
    assert len(dealt) <= -(-len(weights) // size)
