"""The gap between a replay and production: either way, by segment, and only where it is shown."""

from rlwd.ops.benchmark.production_gap import _as_cut, as_answers, gaps
from rlwd.ops.benchmark.replay_folder import VersionReplay
from rlwd.ops.benchmark.replayed import ReplayedAnswer
from rlwd.ops.drift.drift_answers import DriftAnswer
from rlwd.ops.stages.watch_settings import WatchSettings

WATCH = WatchSettings(users=30, planned_users=60)


def production(
    count: int, asks: float, *, segment: str = "default", tokens: int = 50
) -> list[DriftAnswer]:
    return [
        DriftAnswer(
            *(f"{segment}{n}", f"{segment}{n}", float(n), segment, None, None, False, tokens),
            {"asks": float(n < asks * count), "breaks_off": 0.0},
            True,
        )
        for n in range(count)
    ]


def replay(count: int, asks: float, *, segment: str = "default") -> list[DriftAnswer]:
    answers = tuple(
        ReplayedAnswer(
            person=n, segment=segment, behaviours={"asks": float(n < asks * count)}, tokens=50
        )
        for n in range(count)
    )
    return as_answers(
        VersionReplay(version="v", benchmark="b", at=1.0, limit=1024, answers=answers)
    )


def test_a_gap_is_shown_in_either_direction_and_says_which() -> None:
    """Well-behaved on the replay alone, or in production alone."""
    (hides,) = gaps(production(60, 0.9), replay(60, 0.1), WATCH)
    assert hides.behaviour == "asks"
    assert "more in production than on the replay" in hides.said
    (other,) = gaps(production(60, 0.1), replay(60, 0.9), WATCH)
    assert "more on the replay than in production" in other.said


def test_no_gap_is_none() -> None:
    """Alike, or too few people to tell."""
    assert gaps(production(60, 0.3), replay(60, 0.3), WATCH) == []
    assert gaps(production(20, 1.0), replay(60, 0.0), WATCH) == []


def test_other_segments_are_no_gap() -> None:
    """Production has a kind of work that asks more; of what both have the same is done."""
    both = production(60, 0.1) + production(60, 0.9, segment="triage")
    assert gaps(both, replay(60, 0.1), WATCH) == []


def test_many_small_segments_are_compared() -> None:
    """A benchmark of 100 people in ten segments: each is small, and a version that knows the test is found."""
    kinds = [f"kind{n}" for n in range(10)]
    people = [one for kind in kinds for one in production(60, 0.9, segment=kind)]
    tested = [one for kind in kinds for one in replay(10, 0.1, segment=kind)]
    named = [one._replace(user=f"{one.segment} {one.user}") for one in tested]
    (found,) = gaps(people, named, WATCH)
    assert found.behaviour == "asks"
    assert gaps([one for k in kinds for one in production(60, 0.1, segment=k)], named, WATCH) == []


def test_what_never_ends_for_people_and_is_short_on_the_replay_is_a_gap() -> None:
    """Every answer to people is longer than the replay's limit: it counts as that, and is not left out."""
    people = [_as_cut(one, 1024) for one in production(60, 0.1, tokens=4000)]
    (found,) = gaps(people, replay(60, 0.1), WATCH)
    assert found.behaviour == "length"


def test_what_production_cuts_at_the_limit_of_the_replay_is_no_gap() -> None:
    """The product allows as many tokens as the replay, and half of the answers take them all, here and there."""
    people = [
        one._replace(tokens=1024, behaviours={"asks": 0.0, "breaks_off": 1.0}) if n % 2 else one
        for n, one in enumerate(production(60, 0.0))
    ]
    told = tuple(
        ReplayedAnswer(person=n, segment="default", behaviours=one.behaviours, tokens=one.tokens)
        for n, one in enumerate(people)
    )
    held = VersionReplay(version="v", benchmark="b", at=1.0, limit=1024, answers=told)
    assert gaps([_as_cut(one, 1024) for one in people], as_answers(held), WATCH) == []


def test_what_the_replay_would_have_cut_counts_as_long_as_that() -> None:
    """An answer as long as the replay's limit is no longer, and how it ends is not known."""
    (long,) = [_as_cut(one, 1024) for one in production(1, 0.0, tokens=2000)]
    assert (long.tokens, "breaks_off" in long.behaviours) == (1024, False)
    (short,) = [_as_cut(one, 1024) for one in production(1, 0.0)]
    assert short.tokens == 50
