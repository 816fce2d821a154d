"""The gap between a replay and production: either way, by segment, and only where it is shown."""

from rlwd.ops.benchmark.production_gap import _as_long, as_answers, gaps
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


def test_what_the_replay_would_have_cut_is_not_compared_by_its_length() -> None:
    """An answer as long as the replay's limit has neither a length nor an end."""
    (long,) = [_as_long(one, 1024) for one in production(1, 0.0, tokens=2000)]
    assert (long.tokens, "breaks_off" in long.behaviours) == (None, False)
    (short,) = [_as_long(one, 1024) for one in production(1, 0.0)]
    assert short.tokens == 50
