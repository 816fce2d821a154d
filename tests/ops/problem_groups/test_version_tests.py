"""Version tests: what a version is held against, by people."""

import numpy as np
import pytest

from rlwd.ops.problem_groups.people_seen import PeopleSeen
from rlwd.ops.problem_groups.problem_group import ProblemGroup
from rlwd.ops.problem_groups.version_tests import VersionTest, version_tests

GROUP = ProblemGroup(source="tool", name="search fails", unit="calls", people="calls")


def seen_of(*told: tuple[str, range, range, int]) -> PeopleSeen:
    """Return people by version, their numbers, their days, and how many of them were hit each day."""
    seen = PeopleSeen(0)
    for version, people, days, hit in told:
        for day in days:
            for number, person in enumerate(people):
                hits = [GROUP.fingerprint] if number < hit else []
                seen.note(day, f"p{person}", version, ["calls"], hits)
    return seen


def told_of(seen: PeopleSeen, controls: dict[str, str] | None = None) -> dict[str, VersionTest]:
    return {one.version: one for one in version_tests(GROUP, seen, 7, controls or {})}


def test_few_people_who_fail_often_blame_nobody() -> None:
    """Two people of thirty that fail every day are two."""
    seen = seen_of(("new", range(30), range(7, 14), 2), ("old", range(30, 90), range(7, 14), 0))
    found = told_of(seen)["new"]
    assert (found.people, found.of_people) == (2, 30)
    assert (found.against_people, found.against_of_people) == (0, 60)
    assert found.tail == pytest.approx(30 * 29 / (90 * 89))


def test_a_candidate_is_held_against_its_control_on_its_own_days() -> None:
    """What the control's people had on other days, and what a third version's had, is left out."""
    seen = seen_of(
        ("new", range(30), range(12, 14), 20),
        ("old", range(30, 60), range(7, 12), 30),
        ("old", range(60, 90), range(12, 14), 1),
        ("other", range(90, 120), range(12, 14), 30),
    )
    found = told_of(seen, {"new": "old"})["new"]
    assert (found.against, found.against_people) == ("old, its control", 1)
    assert found.tail < 1e-6
    beside = told_of(seen)["new"]
    assert (beside.against_people, beside.against_of_people) == (31, 60)


def test_a_champion_alone_is_held_against_what_was_before() -> None:
    """Over as many days as it had, the latest ones."""
    seen = seen_of(("old", range(40), range(2, 9), 1), ("new", range(40), range(10, 13), 20))
    found = told_of(seen)["new"]
    assert found.against == "old, before"
    assert (found.against_people, found.against_of_people) == (1, 40)
    assert found.tail < 1e-6


def test_too_few_people_say_nothing() -> None:
    """Nineteen are too few on either side."""
    seen = seen_of(("new", range(19), range(7, 9), 19), ("old", range(30, 60), range(7, 9), 0))
    assert told_of(seen) == {}


def test_who_had_more_time_is_not_blamed() -> None:
    """Of 300 groups that happen alike with both versions, people of one try ten times as often and differ among
    themselves: not more are blamed than the tail says, as far as so many can show it."""
    chance = np.random.default_rng(3)
    blamed = 0
    for _ in range(300):
        seen = PeopleSeen(0)
        for version, people, tries in (("new", range(40), 10), ("old", range(40, 100), 1)):
            for person in people:
                rate = chance.beta(0.2, 1.8)
                for _ in range(tries):
                    hits = [GROUP.fingerprint] if chance.random() < rate else []
                    seen.note(9, f"p{person}", version, ["calls"], hits)
        blamed += told_of(seen)["new"].tail <= 0.05 if "new" in told_of(seen) else 0
    assert blamed <= 0.08 * 300


def test_what_happens_to_most_people_is_told_by_how_often() -> None:
    """Everybody was hit on both sides, with one of them three times as often."""
    seen = PeopleSeen(0)
    for version, first, every in (("new", 0, 2), ("old", 100, 6)):
        for person in range(first, first + 40):
            for number in range(12):
                hits = [GROUP.fingerprint] if number % every == 0 else []
                seen.note(8, f"p{person}", version, ["calls"], hits)
    found = told_of(seen)["new"]
    assert (found.people, found.against_people) == (40, 40)
    assert found.tail < 1e-9
