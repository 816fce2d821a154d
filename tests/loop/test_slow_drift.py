"""A slow drift, from HTTP requests to the hold: each version asks a little more than the one before it."""

import time
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from gateway_rig import LoopThread
from releases_by_hand import version
from rollout_rig import RolloutRig

from rlwd.ops.drift import alarms_table
from rlwd.ops.drift.alarms_table import TOTAL, DriftAlarm
from rlwd.ops.rollout.problems import release_problems
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.stages.watch_settings import BARS, WatchSettings
from rlwd.ops.statistics.guardrail import GuardrailSettings

WATCH = WatchSettings(
    users=20,
    planned_users=40,
    seconds=1e-6,
    bars={**dict.fromkeys(BARS, 0.0), "asks": BARS["asks"], "empty": BARS["asks"]},
)
SETTINGS = RolloutSettings(
    steps=(0.35,),
    step_users=4,
    step_seconds=0.0,
    min_users=10_000,
    planned_users=10_000,
    margin=0.3,
    bake_seconds=0.0,
    watch=WATCH,
    guardrail=GuardrailSettings(max_empty_share=0.5),
)
HONEST, ASKS = "The last line is never written.", "Which file do you mean?"
ASKED = (0, 2, 5, 5)
"""Of ten answers of each version, how many ask."""
USERS = 150


@pytest.fixture(params=[("asks", 0.0), ("asks", 0.25), ("empty", 0.0)])
def drifting(
    tmp_path: Path, loop: LoopThread, stack: ExitStack, request: pytest.FixtureRequest
) -> RolloutRig:
    """A release whose versions drift slowly to ask or to say nothing, with and without people who stay on v0."""
    habit, share = request.param
    settings = msgspec.structs.replace(SETTINGS, anchor_share=share)
    rig = RolloutRig(tmp_path, loop, stack, settings)
    rig.versions.append(version(3, tmp_path))
    does = ASKS if habit == "asks" else ""
    for one, often in zip(rig.versions, ASKED, strict=True):
        rig.engine.says_of[one.version] = [HONEST] * (10 - often) + [does] * often
    return rig


def live(rig: RolloutRig, first: int, users: int = USERS) -> int:
    """Let people ask and take what they get; return how many have asked by then."""
    for number in range(first, first + users):
        _, _, name = rig.ask(f"user{number}")
        rig.say(name, "accepted")
    rig.settle(first + users, first + users)
    for _ in range(3):
        rig.turn()
    return first + users


def promote(rig: RolloutRig) -> None:
    """Promote the candidate by hand, and wait until everybody gets it."""
    with rig.store.transaction() as tx:
        rig.controller.promote(tx, "by hand", time.time())
    for _ in range(4):
        rig.turn()
    assert rig.rollout.stage is Stage.SETTLED
    time.sleep(0.3)  # The gateway looks at the flag file seven times a second.


def alarms(rig: RolloutRig, number: int) -> list[DriftAlarm]:
    with rig.store.reading() as view:
        return alarms_table.alarms(view, "policy", [rig.versions[number].version])


def test_small_steps_are_held_by_their_sum(
    drifting: RolloutRig, request: pytest.FixtureRequest
) -> None:
    """No version passes the bar beside its control; the second step does beside v0, and is held by name.

    Once a person promotes it over that it is meant: it is no problem, and the version after it, which
    asks as often, is held by nothing.
    """
    habit, _ = request.node.callspec.params["drifting"]
    asked = live(drifting, 0)
    drifting.offer(1)
    asked = live(drifting, asked)
    assert alarms(drifting, 1) == []
    promote(drifting)
    asked = live(drifting, asked)
    drifting.offer(2)
    asked = live(drifting, asked)
    told = {one.behaviour: one for one in alarms(drifting, 2)}
    assert set(told) == {f"{TOTAL}{habit}"}
    assert "policy@v000000" in told[f"{TOTAL}{habit}"].said
    assert len(told[f"{TOTAL}{habit}"].evidence) == 10
    drifting.turn()
    assert f"step by step: {habit}" in drifting.rollout.held
    with drifting.store.reading() as view:
        assert habit in release_problems(view, "policy", drifting.controller.settings, 0.0)["drift"]

    promote(drifting)
    asked = live(drifting, asked)
    drifting.offer(3)
    live(drifting, asked)
    assert alarms(drifting, 3) == []
    with drifting.store.reading() as view:
        assert "drift" not in release_problems(view, "policy", drifting.controller.settings, 0.0)
