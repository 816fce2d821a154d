"""The comparison, from HTTP requests to the verdict: horizons, silence, cut-offs and failures."""

import msgspec
import pytest
from rollout_rig import RolloutRig

from rlwd.ops.rollout.observe import Comparing
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.answers import ComparisonSettings
from rlwd.ops.statistics.metric import MetricSettings

SETTINGS = RolloutSettings(
    steps=(0.5,),
    anchor_share=0.0,
    step_users=4,
    step_seconds=0.0,
    min_users=30,
    margin=0.3,
    planned_users=60,
    bake_seconds=3600.0,
    bake_share=0.5,
)


def compare_by(rig: RolloutRig, settings: RolloutSettings, comparison: ComparisonSettings) -> None:
    """Let the release compare so from now on."""
    rig.release.comparing = Comparing.of(settings, comparison, lambda segment: 0.0)


def people(
    rig: RolloutRig, users: int, *, answered: dict[str, int], kind: str = "accepted"
) -> None:
    """Let users ask once; of a variant's users one in so many says something."""
    asked, said = {"candidate": 0, "control": 0}, 0
    for number in range(users):
        variant, _, name = rig.ask(f"user{rig.asked + number}")
        asked[variant] += 1
        if asked[variant] % answered[variant] == 0:
            rig.say(name, kind)
            said += 1
    rig.asked += users
    rig.settle(rig.asked)


def test_answers_below_their_horizon_are_not_compared(rig: RolloutRig) -> None:
    """A hundred acceptances of a minute ago promote nobody where answers count after an hour."""
    compare_by(rig, SETTINGS, ComparisonSettings(horizon_seconds=3600.0))
    rig.offer(1)
    people(rig, 100, answered={"candidate": 1, "control": 1})
    assert rig.rollout.stage is Stage.CANARY
    assert "reward: no answer of a named user counts yet" in rig.rollout.verdict.reason


def test_one_that_people_answer_less_is_held(rig: RolloutRig) -> None:
    """All who say something accept, but a third as many say it: no promotion, and no blame."""
    rig.offer(1)
    people(rig, 200, answered={"candidate": 3, "control": 1})
    rig.turn()
    assert rig.rollout.stage is Stage.CANARY
    assert "held: feedback_rate" in rig.rollout.held
    people(rig, 60, answered={"candidate": 1, "control": 1})
    assert rig.rollout.stage is Stage.CANARY
    assert not rig.rollout.quarantine


def test_one_whose_answers_are_cut_is_rolled_back(rig: RolloutRig) -> None:
    """Answers at their length limit are a metric of their own, although people accept them."""
    rig.engine.failing[rig.versions[1].version] = "cut"
    rig.offer(1)
    people(rig, 120, answered={"candidate": 1, "control": 1})
    rig.turn()
    assert rig.rollout.stage is Stage.ROLLED_BACK
    assert "harm: cut_off_rate" in rig.rollout.trail[-1].reason


def test_a_metric_of_the_configuration_decides(rig: RolloutRig) -> None:
    """With the feedback rate as the only goal, answers that nobody accepts promote; so it is asked."""
    only = MetricSettings(name="feedback_rate", kind="non-inferior", margin=0.5)
    settings = msgspec.structs.replace(SETTINGS, metric=(only,))
    compare_by(rig, settings, ComparisonSettings())
    rig.offer(1)
    people(rig, 160, answered={"candidate": 1, "control": 1}, kind="rejected")
    for _ in range(3):
        rig.turn()
    assert rig.rollout.stage is Stage.PROMOTED
    assert "feedback_rate" in rig.rollout.trail[-1].reason


def test_a_slow_candidate_is_rolled_back_by_its_median(rig: RolloutRig) -> None:
    """Latency is measured at the gateway and compared with the control's own quantile."""
    reward = MetricSettings(name="reward", kind="non-inferior", margin=0.3)
    slow = MetricSettings(name="latency_p50", tolerance=0.5)
    compare_by(rig, msgspec.structs.replace(SETTINGS, metric=(reward, slow)), ComparisonSettings())
    rig.engine.failing[rig.versions[1].version] = "slow"
    rig.offer(1)
    people(rig, 120, answered={"candidate": 1, "control": 1})
    rig.turn()
    assert rig.rollout.stage is Stage.ROLLED_BACK
    assert "harm: latency_p50" in rig.rollout.trail[-1].reason


def test_what_no_answer_carries_is_refused_at_start() -> None:
    """A guard that nothing feeds would pass everybody."""
    lines = MetricSettings(name="diff_lines", direction="lower")
    settings = msgspec.structs.replace(
        SETTINGS, metric=(MetricSettings(name="reward", kind="non-inferior"), lines)
    )
    with pytest.raises(
        ValueError, match=r"rollout\.metric diff_lines: no answer carries diff_lines"
    ):
        Comparing.of(settings, ComparisonSettings(), lambda segment: 0.0)


def test_what_users_were_like_before_is_read_from_the_salt_before(rig: RolloutRig) -> None:
    """Under v0's salt half of the users accepted and half rejected; the first rollout knows that."""
    for number in range(8):
        _, _, name = rig.ask(f"user{number}")
        rig.say(name, "accepted" if number % 2 else "rejected")
    rig.settle(8, 8)
    rig.offer(1)
    for number in range(8):
        rig.ask(f"user{number}")
    rig.settle(16)
    version, earlier = rig.release._earlier or ("", {})
    assert version == rig.versions[1].version
    assert sorted(earlier.values()) == [0.0] * 4 + [1.0] * 4
