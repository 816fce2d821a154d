"""Exposure is earned, from HTTP requests to the verdict: gateway, log, join, guardrails, flags."""

import time

import pytest
from rollout_rig import RolloutRig

from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.guardrail import Observation

SETTINGS = RolloutSettings(
    steps=(0.2, 0.5),
    anchor_share=0.0,
    step_users=4,
    step_seconds=0.0,
    min_users=30,
    margin=0.3,
    planned_users=60,
    bake_seconds=3600.0,
    bake_share=0.5,
)
TEN_SECONDS_OF_ANSWERS = 20
"""At 2 answers a second."""


@pytest.mark.parametrize("how", ["breaks off", "end token", "status 500"])
def test_a_candidate_whose_every_answer_fails_is_back_at_once(rig: RolloutRig, how: str) -> None:
    """It never climbs, and meets no more people than come in ten seconds at two answers a second."""
    rig.engine.failing[rig.versions[1].version] = how
    rig.offer(1)
    met = asked = 0
    while rig.rollout.stage is Stage.CANARY:
        variant, _, _ = rig.ask(f"user{asked}", stream=how == "breaks off")
        asked += 1
        met += variant == "candidate"
        rig.settle(asked)
        assert rig.rollout.step == 0
        assert met <= TEN_SECONDS_OF_ANSWERS
    assert rig.rollout.stage is Stage.ROLLED_BACK
    assert rig.rollout.quarantine
    flags = read_flags(rig.release.flags)
    assert flags is not None
    assert flags.candidate is None


def test_one_client_cannot_take_a_version_back(rig: RolloutRig) -> None:
    """Whoever sends what must fail, again and again, stops nothing; once others fail too, it goes."""
    version = rig.versions[1].version
    rig.offer(1)
    met: list[str] = []
    asked = 0
    while len(met) < 6:
        variant, _, _ = rig.ask(f"user{asked}")
        if variant == "candidate":
            met.append(f"user{asked}")
        asked += 1
    rig.engine.failing[version] = "end token"
    for _ in range(60):
        rig.ask(met[0])
    asked += 60
    rig.settle(asked)
    assert not rig.rollout.ended
    for user in met[1:]:
        rig.ask(user)
    rig.settle(asked + len(met) - 1)
    assert rig.rollout.stage is Stage.ROLLED_BACK


def test_a_candidate_whose_answers_are_cut_off_is_taken_back(rig: RolloutRig) -> None:
    """Cut at their length limit where the control's end by themselves: a test over users finds it."""
    rig.engine.failing[rig.versions[1].version] = "cut"
    rig.offer(1)
    asked = 0
    while rig.rollout.stage is Stage.CANARY:
        assert asked < 1200
        for _ in range(50):
            _, _, name = rig.ask(f"user{asked}")
            rig.say(name, "accepted")
            asked += 1
        rig.settle(asked, asked)
    assert rig.rollout.stage is Stage.ROLLED_BACK
    assert "cut_off_rate" in rig.rollout.trail[-1].reason


def test_a_candidate_that_people_answer_less_is_held(rig: RolloutRig) -> None:
    """What is said of it is all praise; that so little is said holds it, without blame."""
    rig.offer(1)
    asked = said = 0
    while not rig.rollout.held:
        assert asked < 1200
        assert rig.rollout.stage is Stage.CANARY
        for _ in range(50):
            variant, _, name = rig.ask(f"user{asked}")
            if variant != "candidate" or asked % 4 == 0:
                rig.say(name, "accepted")
                said += 1
            asked += 1
        rig.settle(asked, said)
    assert "feedback_rate" in rig.rollout.held
    for _ in range(3):
        rig.turn()
    assert (rig.rollout.stage, rig.rollout.quarantine) == (Stage.CANARY, False)


def test_an_engine_that_fails_everybody_is_no_fault_of_the_candidate(rig: RolloutRig) -> None:
    """Champion and control fail alike: nobody is blamed, and nobody climbs."""
    for version in rig.versions:
        rig.engine.failing[version.version] = "breaks off"
    rig.offer(1)
    for asked in range(60):
        rig.ask(f"user{asked}", stream=True)
        rig.settle(asked + 1)
    assert (rig.rollout.stage, rig.rollout.step) == (Stage.CANARY, 0)


def test_a_candidate_that_nobody_answers_does_not_climb(rig: RolloutRig) -> None:
    """Users without a reward are no evidence, however many and however long."""
    rig.offer(1)
    for asked in range(100):
        rig.ask(f"user{asked}")
    rig.settle(100)
    assert (rig.rollout.stage, rig.rollout.step) == (Stage.CANARY, 0)
    assert "waits for rewards of 4 users per variant; there are 0" in rig.rollout.verdict.reason


def promoted(rig: RolloutRig) -> list[str]:
    """Let people accept everything until version 1 is promoted; return its answers' ids."""
    rig.offer(1)
    asked, answers = 0, []
    while rig.rollout.stage is Stage.CANARY:
        assert asked < 1500
        for _ in range(25):
            variant, _, name = rig.ask(f"user{asked}")
            rig.say(name, "accepted")
            answers += [name] if variant == "candidate" else []
            asked += 1
        rig.settle(asked, asked)
    assert rig.rollout.stage is Stage.PROMOTED
    rig.asked = asked
    rig.ask("nobody")  # The gateway takes the flag file over before the next.
    return answers


def test_a_bake_keeps_a_control_on_the_previous_champion(rig: RolloutRig) -> None:
    """Harm that begins with the promotion is seen against it, and the version goes."""
    promoted(rig)
    served = set()
    for number in range(120):
        variant, version, name = rig.ask(f"later{number}")
        served.add((variant, version))
        # Nobody takes the new version's answers any more; of the old one's all.
        liked = version == rig.versions[0].version
        rig.say(name, "accepted" if liked else "rejected")
    assert ("control", rig.versions[0].version) in served
    assert ("candidate", rig.versions[1].version) in served
    assert ("champion", rig.versions[0].version) not in served
    rig.settle(rig.asked + 121, rig.asked + 120)
    rig.turn()
    assert rig.rollout.stage is Stage.ROLLED_BACK
    assert "harm: reward" in rig.rollout.trail[-1].reason
    flags = read_flags(rig.release.flags)
    assert flags is not None
    assert flags.champion.version == rig.versions[0].version


def test_what_was_served_before_and_in_a_pause_is_in_the_test_of_the_bake(rig: RolloutRig) -> None:
    """The time of a hold is no part of the stage's time, and its answers are since the promotion."""
    promoted(rig)
    for number in range(40):
        rig.say(rig.ask(f"later{number}")[2], "accepted")
    rig.settle(rig.asked + 41, rig.asked + 40)
    with rig.store.transaction() as tx:
        rig.controller.pause(tx, "ann", "looks odd", time.time())
        rig.controller.resume(tx, time.time() + 100.0)
    assert rig.rollout.entered_at > time.time()
    seen: list[Observation | None] = []
    rig.release.keep = lambda watched, after, whole, since, now: seen.append(since)
    rig.turn()
    assert seen
    assert seen[-1] is not None
    assert seen[-1].candidate.exposed_users > 5


def test_feedback_that_comes_late_takes_a_version_back_in_the_bake(rig: RolloutRig) -> None:
    """Answers of the canary that are undone after the promotion count against it."""
    answers = promoted(rig)
    assert len(answers) >= 30
    for name in answers:
        rig.say(name, "undone")
    rig.settle(rig.asked, rig.asked + 30)
    assert rig.rollout.stage is Stage.ROLLED_BACK
    assert "harm" in rig.rollout.trail[-1].reason
