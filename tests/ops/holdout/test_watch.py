"""Watching the holdout: who is compared, when an answer counts, and how the alarm comes and goes."""

from pathlib import Path

import pytest
from crowds_by_hand import fill
from ledger_by_hand import FEEDBACK, GENERATIONS, feedback, generation
from releases_by_hand import let_out, promote, version
from scripted_release import House

from rlwd.learner.candidate import Candidate
from rlwd.ops.holdout.watch import GRACE_SECONDS, MONDAY, WEEK, HoldoutWatch
from rlwd.ops.rollout import champions_table, holdout_table
from rlwd.ops.rollout.holdout_table import ALL_TIME, HoldoutLook
from rlwd.ops.rollout.problems import release_problems
from rlwd.ops.statistics.answers import ComparisonSettings
from rlwd.streams.events.signals import Accepted
from rlwd.streams.join.offsets import mark_read_past
from rlwd.streams.log.ports import ReadPosition

SALT = "holdout/policy"
LATER = MONDAY + 2000 * WEEK + 3600.0
"""A Monday on which the people of these tests come."""


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house whose second version is the champion."""
    house = House(tmp_path)
    promote(house.ledger.store, house.controller, house.v1)
    house.release.step(2.0)
    return house


def watching(house: House, share: float = 0.5) -> HoldoutWatch:
    """Return a watch of which every user of the champion is in the sample."""
    comparison = ComparisonSettings()
    return HoldoutWatch(
        house.ledger.store, "policy", share=share, comparison=comparison, longest_horizon=0.0
    )


def come(house: House, mean: dict[str, float], users: int = 60, *, at: float = LATER) -> None:
    """Let users of both sides get an answer each, good on average as said."""
    for arm, value in mean.items():
        variant, salt = ("anchor", SALT) if arm == "holdout" else ("champion", house.v1.version)
        served = house.v0 if arm == "holdout" else champion(house)
        fill(house.ledger, variant, value, users, at=at, salt=salt, version=served.version)


def champion(house: House) -> Candidate:
    with house.ledger.store.reading() as view:
        return champions_table.champion(view, "policy")


def look(house: House, watch: HoldoutWatch, at: float = LATER) -> HoldoutLook | None:
    """Read past a time, and look."""
    past = at + GRACE_SECONDS + 1.0
    house.ledger.close(past)
    with house.ledger.store.transaction() as tx:
        for topic in (GENERATIONS, FEEDBACK):
            end = ReadPosition(position=house.ledger.ends[topic], end=0)
            mark_read_past(tx, "policy", {topic: end}, past, house.ledger.joiner.owner)
    return watch.look(at)


def problems(house: House) -> dict[str, str]:
    with house.ledger.store.reading() as view:
        return release_problems(view, "policy", house.controller.settings, LATER)


def test_a_worse_champion_is_a_problem_by_name(house: House) -> None:
    """What is shown stays said, in numbers, until the difference is no longer against it."""
    watch = watching(house)
    come(house, {"champion": 0.2, "holdout": 0.8})
    found = look(house, watch)
    assert found is not None
    assert found.shown == ("reward",)
    assert "reward 0.2 against 0.8 (-0.6000), 60 users against 60" in problems(house)["holdout"]
    come(house, {"champion": 0.75, "holdout": 0.1}, users=600, at=LATER + 10)
    found = look(house, watch, LATER + 10)
    assert found is not None
    assert found.measures[0].difference > 0
    assert problems(house) == {}


def test_v0_as_champion_ends_the_alarm(house: House) -> None:
    """After everything was rolled back nobody is served what does harm."""
    watch = watching(house)
    come(house, {"champion": 0.2, "holdout": 0.8})
    look(house, watch)
    with house.ledger.store.transaction() as tx:
        house.controller.rollback(tx, "worse", LATER + 1)
    look(house, watch, LATER + 5)
    assert problems(house) == {}


def test_an_equal_champion_is_no_problem(house: House) -> None:
    """Nor is one that has too few users, however bad they look."""
    watch = watching(house)
    come(house, {"champion": 0.0, "holdout": 1.0}, users=20)
    assert look(house, watch) is not None
    assert problems(house) == {}
    come(house, {"champion": 0.5, "holdout": 0.5}, users=200, at=LATER + 10)
    look(house, watch, LATER + 10)
    assert problems(house) == {}


def test_an_answer_counts_once_and_after_its_horizon(house: House) -> None:
    """Looking again adds nothing; what the log was not read past waits; late feedback counts."""
    watch = HoldoutWatch(
        house.ledger.store,
        "policy",
        share=0.5,
        comparison=ComparisonSettings(),
        longest_horizon=100.0,
    )
    come(house, {"champion": 0.5, "holdout": 0.5})
    house.ledger.take(generation("late", LATER, salt=SALT, variant="anchor", user_hash="late.user"))
    assert look(house, watch, LATER + 50) is None
    house.ledger.take(feedback("f", "late", Accepted(), LATER + 60), partition=FEEDBACK)
    for _ in range(3):
        found = look(house, watch, LATER + 100)
    assert found is not None
    assert (found.champion_users, found.holdout_users) == (60, 61)
    with house.ledger.store.reading() as view:
        totals = holdout_table.user_totals(view, "policy", ALL_TIME)
    assert {one.answers for one in totals} == {1}
    assert next(one for one in totals if one.user == "late.user").reward == 1.0


def test_weeks_and_versions_are_compared_apart_and_then_closed(house: House) -> None:
    """Each has a look of its own that stays when it is over, and its users are forgotten."""
    watch = watching(house)
    come(house, {"champion": 0.5, "holdout": 0.5})
    look(house, watch)
    v2 = version(2, house.folder)
    promote(house.ledger.store, house.controller, v2)
    with house.ledger.store.transaction() as tx:
        tx.execute("UPDATE champions SET since = ? WHERE version = ?", (LATER + WEEK, v2.version))
    come(house, {"champion": 0.9, "holdout": 0.5}, users=90, at=LATER + WEEK + 10)
    look(house, watch, LATER + WEEK + 10)
    with house.ledger.store.reading() as view:
        looks = {one.period: one for one in holdout_table.looks(view, "policy")}
        still = {one.period for one in holdout_table.open_periods(view, "policy")}
        kept = holdout_table.user_totals(view, "policy", house.v1.version)
    assert [*looks] == ["all", house.v1.version, "week 2008-05-05", v2.version, "week 2008-05-12"]
    assert still == {"all", v2.version, "week 2008-05-12"}
    assert kept == []
    assert looks[house.v1.version].measures[0].difference == pytest.approx(0.0)
    assert looks[v2.version].measures[0].difference > 0.3
    assert looks["all"].champion_users == 90


def test_only_the_champion_and_the_holdout_are_compared(house: House) -> None:
    """Not a candidate, nor a control on another version, nor v0's users of 0.1.0, nor fallbacks."""
    watch = watching(house)
    come(house, {"champion": 0.5, "holdout": 0.5})
    v2 = version(2, house.folder)
    let_out(house.ledger.store, house.controller, v2)
    house.release.step(3.0)
    for variant, salt, served in (
        ("candidate", v2.version, v2.version),
        ("control", v2.version, house.v0.version),
        ("anchor", house.v1.version, house.v0.version),
        ("fallback", v2.version, house.v1.version),
    ):
        fill(house.ledger, variant, 0.0, 50, at=LATER, salt=salt, version=served)
    fill(
        house.ledger,
        "control",
        0.5,
        7,
        at=LATER,
        first=100,
        salt=v2.version,
        version=house.v1.version,
    )
    found = look(house, watch)
    assert found is not None
    assert (found.champion_users, found.holdout_users) == (67, 60)


def test_the_champions_users_are_a_fixed_sample(house: House) -> None:
    """Eight for each of the holdout's are compared: the same at every look."""
    watch = watching(house, share=0.02)
    come(house, {"champion": 0.5, "holdout": 0.5}, users=600)
    found = look(house, watch)
    assert found is not None
    assert 600 * 0.18 * 0.6 < found.champion_users < 600 * 0.18 * 1.4
    come(house, {"champion": 0.5, "holdout": 0.5}, users=600, at=LATER + 10)
    again = look(house, watch, LATER + 10)
    assert again is not None
    assert again.champion_users == found.champion_users


def test_nothing_is_compared_before_v0_is_there(house: House) -> None:
    """An empty state reads the answers of the one that was lost while its first learner still starts."""
    come(house, {"champion": 0.6, "holdout": 0.6})
    with house.ledger.store.transaction() as tx:
        for table in ("candidates", "champions"):
            tx.execute(f"DELETE FROM {table}")
    assert look(house, watching(house)) is None


def test_without_a_holdout_nothing_is_compared(house: House) -> None:
    """A share of 0, or nobody held out yet, is no look and no problem."""
    come(house, {"champion": 0.5})
    assert look(house, watching(house, share=0.0)) is None
    assert look(house, watching(house)) is None
    assert problems(house) == {}
