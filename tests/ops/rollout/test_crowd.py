"""A crowd too small for the margin is told before versions run out of time, by what it would take."""

from pathlib import Path

import msgspec
import pytest
from crowds_by_hand import fill
from scripted_release import House

from rlwd.ops.rollout.crowd import AGAIN_SECONDS, SeenCrowd, crowd_problem, crowd_seen
from rlwd.ops.stages.settings import DAY, RolloutSettings
from rlwd.ops.statistics.metric import MetricSettings


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house whose v0 serves everybody."""
    house = House(tmp_path)
    house.release.step(0.0)
    return house


def come(house: House, day: float, users: int, *, first: int = 0) -> None:
    """Let so many users come, who like three of five answers."""
    assert house.flags is not None
    at, salt = 1000.0 + day * DAY, house.flags.salt
    fill(house.ledger, "champion", 0.6, users, at=at, first=first, salt=salt)


def seen(house: House) -> SeenCrowd | None:
    with house.ledger.store.reading() as view:
        return crowd_seen(view, "policy")


def problem(house: House, **settings: object) -> str:
    changed = msgspec.structs.replace(house.controller.settings, **settings)
    with house.ledger.store.reading() as view:
        return crowd_problem(view, "policy", changed, 0.0).get("crowd", "")


def test_a_running_release_says_it_and_asks_seldom(house: House) -> None:
    """Named while nothing is on trial yet, and gone where more people came since."""
    come(house, 0.0, 100)
    house.release.step(AGAIN_SECONDS)
    assert "crowd" not in house.release.problems, "of one moment no day can be told"
    come(house, 0.1, 100, first=1000)
    house.release.step(AGAIN_SECONDS + 10.0)
    assert "crowd" not in house.release.problems, "it was asked a moment ago"
    house.release.step(2 * AGAIN_SECONDS + 10.0)
    said = house.release.problems["crowd"]
    assert said.startswith("at 2000 users a day it takes")
    assert "within the margin of 2.0%" in said


def test_days_are_counted_whole_and_who_comes_again_is_not_new(house: House) -> None:
    """Of four days the middle two; half of whoever came later had been there before."""
    for day, first in ((0, 0), (1, 50), (2, 100), (3, 150)):
        come(house, float(day), 100, first=first)
    found = seen(house)
    assert found is not None
    assert found.users_per_day == 100
    assert found.new_share == pytest.approx(0.5)
    assert found.base == pytest.approx(0.6)
    assert found.answers_per_user == pytest.approx(1.6)


def test_mirrored_answers_are_nobodys_visit(house: House) -> None:
    """A shadow's answers, under the salt of the canary after it, change neither days nor users."""
    for day, first in ((0, 0), (1, 50), (2, 100), (3, 150)):
        come(house, float(day), 100, first=first)
    before = seen(house)
    assert house.flags is not None
    for day in range(4):
        at, salt = 1000.0 + day * DAY, house.flags.salt
        fill(house.ledger, "shadow", 0.0, 0, exposed=300, at=at, salt=salt)
    assert seen(house) == before


def test_a_crowd_that_suffices_is_no_problem(house: House) -> None:
    """More time, a wider margin, or a goal that this does not plan: nothing is said."""
    come(house, 0.0, 300)
    come(house, 0.1, 300, first=1000)
    assert "allow more time, or a margin of" in problem(house)
    assert problem(house, margin=0.5) == ""
    assert problem(house, deadline_seconds=360 * DAY) == ""
    better = MetricSettings(name="reward", kind="superior")
    assert problem(house, metric=(better,)) == ""


def test_too_little_is_known_of_few_users(house: House) -> None:
    """Nor before any flag was written."""
    come(house, 0.0, 20)
    come(house, 0.1, 20, first=1000)
    assert seen(house) is None
    with house.ledger.store.reading() as view:
        assert crowd_problem(view, "nobody", RolloutSettings(), 0.0) == {}
