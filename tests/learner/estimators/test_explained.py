"""What is reported of every estimator, number by number."""

from collections.abc import Callable

import pytest

from rlwd.learner.estimators.explained import estimator_metrics
from rlwd.learner.sealed import SealedEpisode

Make = Callable[..., SealedEpisode]


def test_by_hand(make_episode: Make) -> None:
    """Explained variance goes by weight, spread by tokens; an answer that one of them has no baseline
    for counts for none."""
    episodes = [
        make_episode(reward=1.0, completion_token_ids=(7,)),
        make_episode(reward=0.0, completion_token_ids=(7, 7, 8), weight=2.0),
        make_episode(reward=1.0, completion_token_ids=(7, 8)),
    ]
    told = estimator_metrics(episodes, {"some": [0.5, 0.5, 0.9], "other": [1.0, 0.0, None]})
    # Variance 2/9 about the mean 1/3, and an error of 1/4; differences 0.5 and -0.5 on 1 and 6 tokens.
    assert told == pytest.approx(
        {
            "estimator/some/explained_variance": 1.0 - 0.25 / (2 / 9),
            "estimator/some/advantage_spread": (6 / 49) ** 0.5,
            "estimator/other/explained_variance": 1.0,
            "estimator/other/advantage_spread": 0.0,
        }
    )


def test_nothing_to_explain(make_episode: Make) -> None:
    """Where no reward differs, or no answer has a baseline, all is 0 and finite."""
    same = [make_episode(), make_episode()]
    assert estimator_metrics(same, {"some": [0.5, 0.5]})["estimator/some/explained_variance"] == 0.0
    assert set(estimator_metrics(same, {"some": [None, None]}).values()) == {0.0}
