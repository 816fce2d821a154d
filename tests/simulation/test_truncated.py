"""Truncated sampling: how far a step on answers that top-p cut is from one on all, against the truth.

`python tests/simulation/truncated_worlds.py` prints the table of docs/lanes.md, of smaller masses too.
"""

from statistics import mean, quantiles

from truncated_worlds import MASSES, WORLDS, bias_of, draw_world

from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.settings import LearnerSettings

SETTINGS = LearnerSettings()


def test_the_bias_of_the_default_is_small() -> None:
    """At the least top-p that the ratio lane takes by default, steps point where they should."""
    worlds = [draw_world(seed) for seed in range(WORLDS)]
    taken = [top_p for top_p in MASSES if top_p >= LaneSettings().top_p]
    assert len(taken) > 1
    for top_p in taken:
        found = [bias_of(world, top_p, SETTINGS) for world in worlds]
        assert quantiles([one.size for one in found], n=20)[9] < 0.1
        assert quantiles([one.cosine for one in found], n=20)[0] > 0.97


def test_without_truncation_there_is_no_bias() -> None:
    """The comparison itself finds nothing at a mass of 1, and much at a half."""
    worlds = [draw_world(seed) for seed in range(20)]
    assert max(bias_of(world, 1.0, SETTINGS).size for world in worlds) < 1e-12
    assert mean(bias_of(world, 0.5, SETTINGS).size for world in worlds) > 0.3
