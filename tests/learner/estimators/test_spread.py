"""Which rewards tell one answer from another."""

from collections.abc import Callable

import pytest

from rlwd.learner.estimators.spread import told_apart, with_spread
from rlwd.learner.sealed import SealedEpisode

Make = Callable[..., SealedEpisode]


@pytest.mark.parametrize("reward", [0.0, 0.1, 1.0])
def test_equal_rewards_tell_nothing(reward: float, make_episode: Make) -> None:
    """Where a batch or a stratum earned the same throughout, no answer was better than another."""
    same = [make_episode(reward=reward)] * 40
    assert with_spread(same) == [False] * 40
    code = [make_episode(segment="code", reward=each) for each in (0.0, 1.0)]
    release = [make_episode(segment="code", harness="2.0", reward=reward)] * 2
    assert with_spread([*same, *code, *release]) == [False] * 40 + [True] * 2 + [False] * 2
    assert told_apart([*same, *code], [0.5] * 42) == [None] * 40 + [0.5] * 2


def test_rounding_is_no_spread(make_episode: Make) -> None:
    """Rewards that differ by less than a billionth are equal: Adam would make a step of them."""
    almost = [make_episode(reward=0.3), make_episode(reward=0.1 + 0.2)]
    assert with_spread(almost) == [False, False]


def test_one_alone_is_held_against_what_was_expected(make_episode: Make) -> None:
    """It tells something where it earned something else, and only where anything was expected."""
    code = [make_episode(segment="code", reward=each) for each in (0.0, 1.0)]
    given = [*code, make_episode(reward=0.5)]
    assert with_spread(given) == [True] * 3
    assert told_apart(given, [0.5, 0.5, 0.25]) == [0.5, 0.5, 0.25]
    assert told_apart(given, [0.5, 0.5, 0.5]) == [0.5, 0.5, None]
    assert told_apart(given, [0.5, 0.5, None]) == [0.5, 0.5, None]
    assert told_apart(given[:1], [None]) == [None]
