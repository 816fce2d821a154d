"""The bar of half: a fall is past its bar, too, once half of what the reference had is gone.

Locked here: what a look shows of it, whatever an operator set, beside references of next to nothing.
"""

import msgspec
import pytest

from rlwd.ops.drift.drift_answers import DriftAnswer
from rlwd.ops.drift.drift_look import BehaviourLook, compare
from rlwd.ops.stages.watch_settings import BARS, WatchSettings


def look(ours: float, theirs: float, *, bar: float = -0.15, users: int = 200) -> BehaviourLook:
    """Return a look at a version whose every answer has so much of the request, beside a reference's."""
    settings = WatchSettings(bars={**dict.fromkeys(BARS, 0.0), "likeness": bar}, planned_users=200)
    sides = [
        [
            DriftAnswer(
                *("g", f"u{number}", 0.0, "", 1.0, None, False, 8, {"likeness": share}, True)
            )
            for number in range(users)
        ]
        for share in (ours, theirs)
    ]
    ours_side, theirs_side = sides
    (one,) = compare(ours_side, theirs_side, settings, alpha=0.01)
    return one


@pytest.mark.parametrize(
    ("bar", "reference", "told"),
    [
        (-0.15, 0.5, "-0.15"),
        (-0.15, 0.3, "-0.15"),
        (-0.15, 0.18, "-0.09, half of the reference"),
        (-0.15, 0.04, "-0.05, a third of the bar"),
        (-0.15, 0.0, "-0.05, a third of the bar"),
        (-1.0, 0.9, "-0.45, half of the reference"),
        (0.1, 0.02, "+0.1"),
    ],
)
def test_a_look_says_its_bar_and_why(bar: float, reference: float, told: str) -> None:
    """An operator who reads another bar than he set reads why."""
    one = look(reference, reference, bar=bar)
    assert one.told_bar == told
    assert f"bar {told}, 200 users" in one.said
    assert not one.passed
    assert not one.beyond


@pytest.mark.parametrize(
    ("ours", "theirs", "bar", "passed"),
    [
        (0.0, 0.18, -0.15, True),
        (0.12, 0.18, -0.15, False),  # A third is gone.
        (0.0, 0.04, -0.15, False),  # Half of next to nothing.
        (0.0, 0.0, -0.15, False),
        (0.1, 0.6, -1.0, True),
        (0.35, 0.6, -1.0, False),
        (0.0, 0.1, -0.02, True),
        (0.18, 0.0, -0.15, False),  # It rose.
        (0.18, 0.0, 0.15, True),
        (0.0, 0.18, 0.15, False),
    ],
)
def test_half_of_what_was_there_is_past_any_bar_of_a_fall(
    ours: float, theirs: float, bar: float, passed: bool
) -> None:
    """Where there is at least a third of the bar to lose, and in its direction alone."""
    assert look(ours, theirs, bar=bar, users=600).passed is passed


def test_few_answers_pass_nothing() -> None:
    """Thirty users on both sides are needed, as for every bar."""
    assert not look(0.0, 1.0, users=29).passed
    assert look(0.0, 1.0, users=30).passed


def test_a_look_that_an_older_rlwd_kept_is_read() -> None:
    """It says its bar, and nothing of why."""
    kept = msgspec.to_builtins(look(0.0, 0.18))
    del kept["why"]
    assert msgspec.convert(kept, BehaviourLook).told_bar == "-0.09"
