"""A lagged life: batches hold answers of several versions, and what is decided on is used."""

from lagged_life import LaggedLife, Pace, Table


def test_versions_overlap_and_nothing_is_wasted() -> None:
    """With an age of 8 nearly all is learned from, at ages above 0, and people take more than at first."""
    life = LaggedLife(
        Table(0, trust_region="decoupled"), 0, Pace(episodes=128, at_most=1024, lead=3)
    )
    told = life.live(1500)
    ages = {one.age for one in life.asked if one.used}
    assert len(ages) >= 3
    assert told.unused == 0.0
    assert told.versions >= 2
    assert told.curve[-1] > told.curve[0] + 0.2


def test_fresh_answers_alone_waste_the_rest() -> None:
    """With an age of 0 most of what is decided on is too old by the time the learner is idle."""
    told = LaggedLife(Table(0, max_policy_age=0), 0, Pace()).live(1500)
    assert told.unused > 0.4
