"""On a recorded log with prompts of very different difficulty the contextual baseline is ahead of the others."""

from statistics import fmean

from estimator_report import COUNT, RATE, log_lives
from estimator_world import NAMES, EstimatorWorld, WorldRound, learn_from_log, uniform

from rlwd.learner.settings import LearnerSettings


def test_a_prompts_difficulty_is_worth_knowing() -> None:
    """Over the same logs it is nearer the truth, and its gradient varies less, by more than a fifth each;
    its policy loses less."""
    lives = log_lives(3)

    def mean(name: str, measure: str) -> float:
        of_it = [
            one for known, every in lives.items() if known == name for each in every for one in each
        ]
        return fmean(getattr(one, measure) for one in of_it)

    for other in (name for name in NAMES if name != "contextual"):
        for measure in ("off", "variance"):
            assert mean("contextual", measure) < 0.8 * mean(other, measure)
        assert mean("contextual", "regret") < mean(other, "regret")
        assert mean("contextual", "explained") > mean(other, "explained") + 0.15


def last_error(rounds: list[WorldRound]) -> float:
    return fmean(one.off for one in rounds[-4:])


def test_where_prompts_are_alike_it_costs_nothing() -> None:
    """Where all of a segment's prompts are as hard, it is as near the truth as the tracker, within a tenth."""
    world = EstimatorWorld(seed=1, hardness=0.0)
    log = [world.batch(number, COUNT, uniform()) for number in range(12)]
    contextual, tracker = (
        last_error(learn_from_log(log, name, LearnerSettings(), RATE))
        for name in ("contextual", "tracker")
    )
    assert contextual < 1.1 * tracker
