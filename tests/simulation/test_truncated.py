"""Truncated sampling: how far a step on answers that top-p cut is from one on all, against the truth.

`python -m pytest -s tests/simulation/test_truncated.py` prints the table of docs/lanes.md.
"""

from statistics import mean, quantiles

from truncated_worlds import bias_of, draw_world, earned_after

from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.settings import LearnerSettings

WORLDS, LIVES, STEPS = 100, 16, 200
SETTINGS = LearnerSettings()
MASSES = (1.0, 0.99, 0.95, 0.9, 0.8, 0.7, 0.5)


def test_the_bias_of_the_default_is_small() -> None:
    """At the least top-p that the ratio lane takes by default, steps point where they should."""
    worlds = [draw_world(seed) for seed in range(WORLDS)]
    print("\n| top_p | bias, median | 95 % | cosine, 5 % | earned after |")
    for top_p in MASSES:
        found = [bias_of(world, top_p, SETTINGS) for world in worlds]
        sizes = quantiles([one.size for one in found], n=20)
        low = quantiles([one.cosine for one in found], n=20)[0]
        earned = mean(earned_after(world, top_p, SETTINGS, STEPS) for world in worlds[:LIVES])
        print(f"| {top_p} | {sizes[9]:.3f} | {sizes[18]:.3f} | {low:.3f} | {earned:.3f} |")
        if top_p >= LaneSettings().top_p:
            assert sizes[9] < 0.1
            assert low > 0.97
    first = mean(float((w.logits.softmax(0) * w.pays).sum()) for w in worlds[:LIVES])
    best = mean(float(world.pays.max()) for world in worlds[:LIVES])
    print(f"earned before: {first:.3f}; best answer: {best:.3f}")


def test_without_truncation_there_is_no_bias() -> None:
    """The comparison itself finds nothing at a mass of 1, and much at a half."""
    worlds = [draw_world(seed) for seed in range(20)]
    assert max(bias_of(world, 1.0, SETTINGS).size for world in worlds) < 1e-12
    assert mean(bias_of(world, 0.5, SETTINGS).size for world in worlds) > 0.3
