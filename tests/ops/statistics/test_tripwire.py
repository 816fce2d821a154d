"""Tripwires: a candidate that only fails is taken back by its last answers."""

import numpy as np
import pytest

from rlwd.ops.statistics.tripwire import Served, TripwireSettings, tripped
from rlwd.ops.statistics.verdict import VerdictKind

SETTINGS = TripwireSettings()


def ends(pattern: str, users: int = 10) -> list[Served]:
    """One answer a letter: x failed."""
    return [
        Served(user=f"u{number % users}", failed=letter == "x")
        for number, letter in enumerate(pattern)
    ]


def test_a_candidate_that_only_fails_trips_within_eight_answers() -> None:
    """Seven are not enough, and eight say so with their number."""
    assert tripped(ends("." + "x" * 7), ends("." * 50), SETTINGS) is None
    verdict = tripped(ends("x" * 8), ends("." * 50), SETTINGS)
    assert verdict is not None
    assert verdict.outcome is VerdictKind.FAIL
    assert "the last 8 answers" in verdict.reason


def test_one_answer_that_works_ends_the_run() -> None:
    """Only failing is what trips; failing often is a metric's business."""
    assert tripped(ends("x" * 30 + "." + "x" * 7), ends("." * 50), SETTINGS) is None


def test_an_engine_that_is_down_is_nobodys_fault() -> None:
    """Where the control fails likewise, the rollout waits."""
    verdict = tripped(ends("x" * 30), ends("..." + "x" * 10), SETTINGS)
    assert verdict is not None
    assert verdict.outcome is VerdictKind.WAIT
    assert "engine" in verdict.reason


def test_one_user_has_to_fail_three_times_as_often() -> None:
    """A single client's own mistake is no tripwire at once."""
    assert tripped(ends("x" * 23, users=1), ends("." * 50), SETTINGS) is None
    assert tripped(ends("x" * 24, users=1), ends("." * 50), SETTINGS) is not None


def test_one_client_among_others_takes_nobody_back() -> None:
    """Whoever sends what must fail stops no version that answers others; with one more, it may be."""
    fine, ann = ends("." * 5), ends("x" * 90, users=1)
    assert ann[0].user != fine[-1].user
    assert tripped([*fine, *ann], ends("." * 50), SETTINGS) is None
    both = [*fine, *ann, Served(user="u3", failed=True)]
    verdict = tripped(both, ends("." * 50), SETTINGS)
    assert verdict is not None
    assert verdict.outcome is VerdictKind.FAIL
    unnamed = [*fine, *[Served(user="", failed=True)] * 24]
    assert tripped(unnamed, ends("." * 50), SETTINGS) is not None, "unnamed may be many"


def test_unnamed_users_are_not_two() -> None:
    """Whoever sends no user counts as none."""
    unnamed = [Served(user="", failed=True)] * 23
    assert tripped(unnamed, ends("." * 50), SETTINGS) is None


def test_without_a_control_it_still_trips() -> None:
    """A control without traffic says half at most: twenty failures are asked for then."""
    assert tripped(ends("x" * 19), [], SETTINGS) is None
    assert tripped(ends("x" * 20), [], SETTINGS) is not None


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
def test_equal_variants_that_fail_at_times_never_trip(share: float) -> None:
    """With up to half of all answers failing, 8,000 answers of equal variants trip nothing."""
    generator = np.random.default_rng(5)
    marks = [
        "".join("x" if bad else "." for bad in generator.random(8_000) < share) for _ in range(2)
    ]
    tripped_at = [
        at
        for at in range(100, 8_000, 5)
        if tripped(ends(marks[0][at - 100 : at]), ends(marks[1][at - 100 : at]), SETTINGS)
    ]
    assert tripped_at == []


def test_settings_out_of_range_are_refused() -> None:
    """One failure is no run."""
    with pytest.raises(ValueError, match="answers must be at least 2"):
        TripwireSettings(answers=1)
