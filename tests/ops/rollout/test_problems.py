"""Stalls have names: in /readyz, `rlwd status` and `rlwd doctor` they are read from the tables."""

from pathlib import Path

import msgspec
import pytest
from crowds_by_hand import arm, look_of
from ledger_by_hand import FEEDBACK, feedback, generation
from releases_by_hand import register, version
from scripted_release import House

from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.ops.drift import alarms_table
from rlwd.ops.drift.alarms_table import DriftAlarm
from rlwd.ops.rollout import rollouts_table
from rlwd.ops.rollout.problems import (
    LATE_ANSWERS,
    OLD_ANSWERS,
    TIMEOUTS_IN_A_ROW,
    release_problems,
)
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.stages.shadow_settings import ShadowSettings
from rlwd.ops.statistics.paired_look import look_at_pairs
from rlwd.streams.answers.exposure import MirroredPair
from rlwd.streams.events.signals import Accepted


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house whose v0 serves, and where nothing is wrong."""
    house = House(tmp_path)
    house.release.step(0.0)
    assert house.release.problems == {}
    return house


def test_versions_that_run_out_of_time_in_a_row_are_a_problem(house: House) -> None:
    """Three are named with the reason of the last; one that is promoted would end it."""
    now = 10.0
    for number in range(2, 2 + TIMEOUTS_IN_A_ROW):
        assert house.release.problems == {}
        register(house.ledger.store, house.controller, version(number, house.folder))
        for _ in range(3):
            house.release.step(now)
        now += house.controller.settings.deadline_seconds + 10.0
        house.release.step(now)
        with house.ledger.store.transaction() as tx:
            rollouts_table.returned(tx, "policy", 0, now)
    problem = house.release.problems["rollout"]
    assert f"the last {TIMEOUTS_IN_A_ROW} versions ran out of time" in problem
    assert "nobody has been served" in problem


def test_a_rollout_that_nobody_feeds_is_named_at_half_its_time(house: House) -> None:
    """Before it ends: an operator may still do something about it."""
    house.let_out()
    half = house.controller.settings.deadline_seconds / 2
    house.release.step(half)
    assert house.release.problems == {}
    house.release.step(half + 10.0)
    problem = house.release.problems["rollout"]
    assert f"{house.v1.version} runs out of time in" in problem
    assert "nobody has been served the candidate yet" in problem


def test_a_rollout_that_is_only_slow_is_no_problem(house: House) -> None:
    """At its pace it gets the users that a promotion needs: nobody is paged."""
    house.let_out()
    settings, most = house.controller.settings, house.controller.settings.deadline_seconds
    fed = arm(1.0, settings.min_users, exposed=settings.min_users)
    with house.ledger.store.transaction() as tx:
        house.controller.observe(tx, look_of(settings, fed, fed), 0.7 * most)
    for slow, named in (
        (settings, False),
        (msgspec.structs.replace(settings, min_users=999), True),
    ):
        with house.ledger.store.reading() as view:
            problems = release_problems(view, "policy", slow, 0.7 * most)
        assert ("rollout" in problems) == named


def test_a_promotion_that_waits_in_doubt_is_named_at_half_its_time(house: House) -> None:
    """It has its users, and will be given up all the same; three that were so are named as such."""
    house.let_out()
    settings = house.controller.settings
    half, fed = settings.deadline_seconds / 2, arm(1.0, settings.min_users, exposed=99)
    with house.ledger.store.transaction() as tx:
        rollout = house.controller.observe(tx, look_of(settings, fed, fed), half)
        assert rollout is not None
        doubt = "the promotion waits while a behaviour seems past its bar: digits 0.4 against 0.1"
        doubtful = msgspec.structs.replace(rollout, doubt=doubt, doubted_since=half + 10.0)
        rollouts_table.save(tx, "policy", doubtful)
        assert "rollout" not in release_problems(tx, "policy", settings, half + 10.0)
        problem = release_problems(tx, "policy", settings, half + 20.0)["rollout"]
        assert f"{house.v1.version} runs out of time in" in problem
        assert problem.endswith(doubt)
        late = msgspec.structs.replace(doubtful, stage=Stage.SUPERSEDED, out_of_time=True)
        for name in (house.v1.version, "policy@v000002-b", "policy@v000003-c"):
            rollouts_table.save(tx, "policy", msgspec.structs.replace(late, version=name))
        problem = release_problems(tx, "policy", settings, half + 20.0)["rollout"]
    assert f"3 versions ran out of time, policy@v000003-c with: {doubt}; `rlwd report`" in problem


def test_an_alarm_that_a_person_promoted_over_in_the_bake_is_no_problem(house: House) -> None:
    """Until then it is one."""
    house.let_out()
    settings = house.controller.settings
    alarm = DriftAlarm(version=house.v1.version, behaviour="asks", at=5.0, said="", evidence=())
    with house.ledger.store.transaction() as tx:
        house.controller.promote(tx, "ann: meant", 4.0)
        alarms_table.file_alarms(tx, "policy", [alarm])
        house.controller.observe(tx, None, 6.0)
        assert alarm.sentence in release_problems(tx, "policy", settings, 6.0)["drift"]
        house.controller.promote(tx, "ann: still meant", 7.0)
        assert "drift" not in release_problems(tx, "policy", settings, 8.0)


def test_a_shadow_that_no_engine_has_room_for_is_named_at_half_its_time(tmp_path: Path) -> None:
    """Unless it gets its answers at the present pace."""
    shadow = ShadowSettings(share=0.5, answers=100, seconds=600.0)
    house = House(tmp_path, RolloutSettings(steps=(0.4,), step_seconds=0.0, shadow=shadow))
    house.let_out()
    house.release.step(200.0)
    assert house.release.problems == {}
    house.release.step(310.0)
    named = house.release.problems["rollout"]
    assert f"{house.v1.version} runs out of time in" in named
    assert "as shadow: mirrored answers: 0 of 100" in named
    with house.ledger.store.transaction() as tx:
        pairs = [MirroredPair(f"u{n}", 0, 0, 5, 0, 0, 5) for n in range(60)]
        look = look_at_pairs(pairs, house.controller.settings.guardrail, longer=0.5)
        house.controller.observe(tx, None, 320.0, mirrored=look)
        assert release_problems(tx, "policy", house.controller.settings, 320.0) == {}


def test_answers_that_are_too_old_to_learn_from_are_named(house: House) -> None:
    """Learning stands still although people answer."""
    for number in range(OLD_ANSWERS):
        house.ledger.take(generation(f"g{number}", 1000.0))
        house.ledger.take(
            feedback(f"f{number}", f"g{number}", Accepted(), 1001.0), partition=FEEDBACK
        )
    with house.ledger.store.transaction() as tx:
        assert (
            seal(
                tx,
                "policy",
                BatchSettings(),
                parent_sequence=0,
                max_policy_age=1,
                age=lambda version: 2,
                now=1002.0,
            )
            is None
        )
    with house.ledger.store.reading() as view:
        problems = release_problems(view, "policy", house.controller.settings, 1003.0)
    assert f"{OLD_ANSWERS} answers since the last batch were too old" in problems["learning"]


def _seal(house: House) -> None:
    with house.ledger.store.transaction() as tx:
        seal(
            tx,
            "policy",
            BatchSettings(episodes=10),
            parent_sequence=0,
            max_policy_age=0,
            age=lambda _: 0,
            now=0.0,
        )


def _decided(house: House, prefix: str, count: int, after: float) -> None:
    """Serve answers that are decided on so many seconds later; the log is read on meanwhile."""
    names = [f"{prefix}{number}" for number in range(count)]
    house.ledger.take(*(generation(name, 1000.0) for name in names))
    house.ledger.close(1000.0 + after)
    house.ledger.take(
        *(feedback(f"{name}.f", name, Accepted(), 1000.0 + after) for name in names),
        partition=FEEDBACK,
    )


def _late(house: House) -> str | None:
    with house.ledger.store.reading() as view:
        found = release_problems(view, "policy", RolloutSettings(), 2000.0)
    return found.get("late")


def test_people_who_decide_after_they_were_given_up_are_named(house: House) -> None:
    """Where that is a tenth of those who decide at all; with it how long half of them took."""
    _decided(house, "soon", 3 * LATE_ANSWERS, 99.0)  # Within the spec's 100 s.
    _decided(house, "a", LATE_ANSWERS - 1, 250.0)
    assert _late(house) is None
    _decided(house, "b", 1, 250.0)
    assert "within 250 s" in str(_late(house))
    _seal(house)
    assert "25% of those decided on" in str(_late(house))
    _decided(house, "in_time", 8 * LATE_ANSWERS, 50.0)
    _seal(house)
    assert _late(house) is None
