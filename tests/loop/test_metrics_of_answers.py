"""Every metric of an answer, from HTTP requests to the verdict; and the bounds of the comparison."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from ledger_by_hand import feedback, generation
from rollout_rig import TOPICS, RolloutRig

from rlwd.ops.flags.assignment import hash_user
from rlwd.ops.rollout.observe import Comparing
from rlwd.ops.stages.record import Rollout, Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.answers import ComparisonSettings
from rlwd.ops.statistics.metric import MetricSettings
from rlwd.streams.events.signals import Accepted
from rlwd.streams.log.embedded_log import EmbeddedSink

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
REWARD = MetricSettings(name="reward", kind="non-inferior", margin=0.3)
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
Act = Callable[[RolloutRig, str, str], None]
"""What a user does with an answer, by its variant and id."""


def accept(rig: RolloutRig, variant: str, name: str) -> None:
    """Accept an answer, if there is one."""
    if name:
        rig.say(name, "accepted")


def keep(candidate: float, control: float) -> Act:
    """Accept, and keep that much of a variant's answers."""

    def act(rig: RolloutRig, variant: str, name: str) -> None:
        rig.say(name, "accepted")
        fraction = candidate if variant == "candidate" else control
        rig.say(name, "kept", fraction=fraction, horizon_seconds=30.0)

    return act


def measure(kind: str, **values: float) -> Act:
    """Accept, and post a number of the product's own, by variant."""

    def act(rig: RolloutRig, variant: str, name: str) -> None:
        rig.say(name, "accepted")
        rig.say(name, kind, name="seconds_lost", value=values[variant])

    return act


def ask_again(rig: RolloutRig, variant: str, name: str) -> None:
    """Accept; whoever met the candidate has to ask twice more."""
    rig.say(name, "accepted")
    if variant == "candidate":
        for _ in range(2):
            rig.ask(f"user{rig.asked}", metadata={"session": name, "parent": name})


def run(
    rig: RolloutRig,
    *metrics: MetricSettings,
    users: int = 120,
    act: Act = accept,
    comparison: ComparisonSettings | None = None,
    **more: Any,
) -> Rollout:
    """Offer a version, let users meet it, and return what became of it."""
    settings = msgspec.structs.replace(SETTINGS, metric=metrics)
    rig.release.comparing = Comparing.of(
        settings, comparison or ComparisonSettings(), lambda segment: 0.0
    )
    rig.offer(1)
    for _ in range(users):
        variant, _, name = rig.ask(f"user{rig.asked}", **more)
        act(rig, variant, name)
        rig.asked += 1
    rig.settle(users)
    for _ in range(3):
        rig.turn()
    return rig.rollout


@pytest.mark.parametrize(
    ("metric", "how", "act"),
    [
        ("error_rate", "now and then", accept),
        ("latency_p95", "slow", accept),
        ("length", "long", accept),
        ("session_tokens", "", ask_again),
        ("keep_rate", "", keep(candidate=0.1, control=1.0)),
    ],
)
def test_harm_in_one_metric_takes_a_candidate_back_by_its_name(
    rig: RolloutRig, metric: str, how: str, act: Act
) -> None:
    """All accept, so the reward says nothing; the metric alone does, measured on the way."""
    rig.engine.failing[rig.versions[1].version] = how
    ended = run(rig, REWARD, MetricSettings(name=metric, tolerance=0.2), act=act)
    assert ended.stage is Stage.ROLLED_BACK
    assert f"harm: {metric} " in ended.trail[-1].reason


def test_a_candidate_that_calls_more_tools_is_rolled_back(rig: RolloutRig) -> None:
    """Its sessions call four tools where the control's call one; the gateway counts them."""
    rig.engine.calls_of[rig.versions[1].version] = 4
    calls = MetricSettings(name="session_tool_calls", tolerance=0.5)
    ended = run(rig, REWARD, calls, tools=[TOOL])
    assert ended.stage is Stage.ROLLED_BACK
    assert "harm: session_tool_calls 4 against 1" in ended.trail[-1].reason


def test_a_candidate_whose_prompts_are_cached_less_is_rolled_back(rig: RolloutRig) -> None:
    """The engine says that none of its prompts is cached, and two thirds of the control's."""
    rig.engine.cached_of = {rig.versions[0].version: 2, rig.versions[1].version: 0}
    cached = MetricSettings(name="cached_prompt_share", tolerance=0.5)
    ended = run(rig, REWARD, cached)
    assert ended.stage is Stage.ROLLED_BACK
    assert "harm: cached_prompt_share 0 against 0.6667" in ended.trail[-1].reason


@pytest.mark.parametrize("kind", ["measured", "outcome"])
def test_a_number_that_the_product_posts_decides(rig: RolloutRig, kind: str) -> None:
    """Feedback after the fact carries it; a rollout that only it can condemn is rolled back."""
    lost = MetricSettings(name="seconds_lost", own=True, direction="lower", tolerance=0.2)
    ended = run(rig, REWARD, lost, act=measure(kind, candidate=0.9, control=0.3))
    assert ended.stage is Stage.ROLLED_BACK
    assert "harm: seconds_lost 0.9 against 0.3" in ended.trail[-1].reason


def test_a_quantile_of_a_products_own_number_decides(rig: RolloutRig) -> None:
    """`NAME_p50` is held against the control's own quantile."""
    lost = MetricSettings(name="seconds_lost_p50", own=True, direction="lower", tolerance=0.2)
    ended = run(rig, REWARD, lost, act=measure("measured", candidate=900.0, control=300.0))
    assert ended.stage is Stage.ROLLED_BACK
    assert "harm: seconds_lost_p50" in ended.trail[-1].reason


def test_an_own_number_that_nobody_posts_keeps_a_promotion_back(rig: RolloutRig) -> None:
    """A guard by a misspelt name would pass everybody: it is named instead."""
    lost = MetricSettings(name="secnods_lost", own=True, direction="lower")
    ended = run(rig, REWARD, lost, act=measure("measured", candidate=1.0, control=1.0))
    assert ended.stage is Stage.CANARY
    assert "secnods_lost: no answer of a named user counts yet" in ended.verdict.reason


def test_an_own_number_that_is_no_worse_promotes(rig: RolloutRig) -> None:
    """Named as a goal beside the reward, it is shown and says so."""
    lost = MetricSettings(
        name="seconds_lost", own=True, direction="lower", kind="non-inferior", margin=0.3
    )
    act = measure("measured", candidate=300.0, control=300.0)
    ended = run(rig, REWARD, lost, users=240, act=act)
    assert ended.stage is Stage.PROMOTED
    assert "seconds_lost 300 against 300" in ended.trail[-1].reason


def write_answer(rig: RolloutRig, sink: EmbeddedSink, user: str) -> None:
    """Be a product without our gateway: ask for the variant, write the topics, `numbers` included."""
    asked = rig.client.post(
        "/ofrep/v1/evaluate/flags/policy", json={"context": {"targetingKey": user}}
    ).json()
    variant, now = asked["variant"], datetime.now(UTC)
    served = generation(
        f"{user}.g",
        now.timestamp(),
        session_id=user,
        user_hash=hash_user(user, b"key"),
        version=asked["value"]["version"],
        salt=asked["metadata"]["salt"],
        variant=variant,
        numbers={"lines_lost": 9.0 if variant == "candidate" else 3.0},
    )
    sink.send(TOPICS[0], user, served)
    accepted = feedback(f"{user}.f", f"{user}.g", Accepted(), now.timestamp())
    sink.send(TOPICS[1], user, accepted)
    sink.flush(10.0)


def test_a_number_that_a_product_writes_into_the_event_decides(rig: RolloutRig) -> None:
    """Who writes the topics itself puts `numbers` into the generation, and posts nothing."""
    lost = MetricSettings(name="lines_lost", own=True, direction="lower", tolerance=0.2)
    run(rig, REWARD, lost, users=0)
    sink = EmbeddedSink(rig.log, partitions=1)
    for number in range(120):
        write_answer(rig, sink, f"writer{number}")
    sink.close()
    rig.settle(120, 120)
    rig.turn()
    assert rig.rollout.stage is Stage.ROLLED_BACK
    assert "harm: lines_lost 9 against 3" in rig.rollout.trail[-1].reason


def test_only_the_better_one_is_superior(rig: RolloutRig) -> None:
    """`kind = "superior"` asks for a gain: three in four against all is one, equal arms are none."""

    def most(rig: RolloutRig, variant: str, name: str) -> None:
        bad = variant == "control" and rig.asked % 3
        rig.say(name, "rejected" if bad else "accepted")

    better = MetricSettings(name="reward", kind="superior", margin=0.02)
    assert run(rig, better, users=240, act=most).stage is Stage.PROMOTED


def test_equal_arms_are_not_superior(rig: RolloutRig) -> None:
    """The same asked of two that are alike waits, and blames nobody."""
    ended = run(rig, MetricSettings(name="reward", kind="superior", margin=0.02), users=160)
    assert ended.stage is Stage.CANARY
    assert "superior by 2.0%" in ended.verdict.reason


def silent(rig: RolloutRig, variant: str, name: str) -> None:
    """Accept, but leave two in three of the candidate's answers undecided."""
    if variant == "control" or rig.asked % 3 == 0:
        rig.say(name, "accepted")


@pytest.mark.parametrize(
    ("undecided", "stage"), [("omit", Stage.PROMOTED), (0.0, Stage.ROLLED_BACK)]
)
def test_silence_is_worth_what_is_configured(rig: RolloutRig, undecided: Any, stage: Stage) -> None:
    """Left out, the silent say nothing; worth 0, they are harm."""
    comparison = ComparisonSettings(undecided=undecided)
    assert run(rig, REWARD, users=400, act=silent, comparison=comparison).stage is stage


@pytest.mark.parametrize(("weight", "stage"), [(1.0, Stage.CANARY), (1000.0, Stage.ROLLED_BACK)])
def test_one_user_weighs_no_more_than_is_configured(
    rig: RolloutRig, weight: float, stage: Stage
) -> None:
    """Some who ask eight times and dislike the candidate outweigh all others, or do not."""

    def act(rig: RolloutRig, variant: str, name: str) -> None:
        heavy = variant == "candidate" and rig.asked % 4 == 0
        for again in range(8 if heavy else 1):
            if again:
                _, _, name = rig.ask(f"user{rig.asked}")
            rig.say(name, "rejected" if heavy else "accepted")

    metric = MetricSettings(name="reward", kind="non-inferior", margin=0.3, tolerance=0.4)
    comparison = ComparisonSettings(user_weight=weight)
    assert run(rig, metric, users=120, act=act, comparison=comparison).stage is stage


@pytest.mark.parametrize(("allowance", "stage"), [(0.0, Stage.ROLLED_BACK), (0.9, Stage.CANARY)])
def test_what_is_allowed_is_no_harm(rig: RolloutRig, allowance: float, stage: Stage) -> None:
    """Every third answer fails: harm without an allowance, and none where so much is allowed."""
    rig.engine.failing[rig.versions[1].version] = "now and then"
    errors = MetricSettings(name="error_rate", allowance=allowance)
    never = MetricSettings(name="reward", kind="superior", margin=0.02)
    assert run(rig, never, errors).stage is stage


def test_harm_of_a_metric_that_holds_holds(rig: RolloutRig) -> None:
    """`on_harm = "hold"` keeps the rollout where it is and blames nobody."""
    rig.engine.failing[rig.versions[1].version] = "long"
    length = MetricSettings(name="length", tolerance=0.2, on_harm="hold")
    ended = run(rig, REWARD, length, users=240)
    assert ended.stage is Stage.CANARY
    assert "held: length 12 against 4" in ended.held


@pytest.mark.parametrize(("users", "stage"), [(2, Stage.CANARY), (10_000, Stage.ROLLED_BACK)])
def test_a_segment_is_compared_with_its_own_kind(rig: RolloutRig, users: int, stage: Stage) -> None:
    """A candidate that is used more in the harder segment is not blamed where segments are strata."""

    def act(rig: RolloutRig, variant: str, name: str) -> None:
        hard = (rig.asked % 5 > 0) == (variant == "candidate")
        _, _, name = rig.ask(f"user{rig.asked}", metadata={"segment": "hard" if hard else "easy"})
        rig.say(name, "rejected" if hard and rig.asked % 9 else "accepted")

    metric = MetricSettings(name="reward", kind="superior", margin=0.02, tolerance=0.2)
    comparison = ComparisonSettings(stratum_users=users)
    assert run(rig, metric, users=160, act=act, comparison=comparison).stage is stage
