"""The bar of half, from HTTP requests to the held rollout: what little there was is lost, and people go on taking it."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_rig import LoopThread
from rollout_rig import RolloutRig

from rlwd.daemon.views.drift import read_drift
from rlwd.ops.drift import alarms_table
from rlwd.ops.drift.alarms_table import TOTAL, DriftAlarm
from rlwd.ops.rollout.problems import release_problems
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.stages.watch_settings import BARS, WatchSettings
from rlwd.rewards.spec.spec import Spec

FALLS = {name: bar for name, bar in BARS.items() if bar < 0}
WATCH = WatchSettings(
    bars={**dict.fromkeys(BARS, 0.0), **FALLS}, users=20, planned_users=40, seconds=1e-6
)
SETTINGS = RolloutSettings(
    steps=(0.5,),
    anchor_share=0.0,
    step_users=4,
    step_seconds=0.0,
    min_users=10_000,
    planned_users=10_000,
    margin=0.3,
    bake_seconds=0.0,
    watch=WATCH,
)
SPEC = Spec(
    name="taken",
    parts={"accepted": 20.0, "kept": 1.0},
    decision={"default": 100.0},
    horizons={"accepted": 100.0, "kept": 300.0},
)
"""What is kept weighs little, so that its loss is none of the reward that could be shown."""
ASKED = [{"role": "user", "content": "Why does the loop end before the last line is written?"}]
ABOUT_IT = "The loop counts from one, hence ends too early; begin from zero, keep everything else as found."
OF_IT = 2 / 15
"""Of its different words of three letters and more two in fifteen are the request's."""
ABOUT_NOTHING = (
    "Rivers carry stones toward distant oceans during winter months, year after year, slowly."
)
KEPT = 0.09
USERS = 130


@pytest.fixture
def falling(
    tmp_path: Path, loop: LoopThread, stack: ExitStack, request: pytest.FixtureRequest
) -> RolloutRig:
    """A release whose reference has less to lose than the bar, and a version that loses all or nothing of it."""
    settings = msgspec.structs.replace(SETTINGS, **getattr(request, "param", {}))
    rig = RolloutRig(tmp_path, loop, stack, settings, spec=SPEC)
    rig.engine.says_of = {one.version: [ABOUT_IT] for one in rig.versions}
    return rig


def live(rig: RolloutRig, kept: dict[str, float], users: int = USERS, first: int = 0) -> None:
    """Let people ask and take what they get; of a version's answers so much is kept."""
    for number in range(first, first + users):
        _, version, name = rig.ask(f"user{number}", messages=ASKED)
        rig.say(name, "accepted")
        rig.say(name, "kept", fraction=kept.get(version, KEPT), horizon_seconds=60.0)
    rig.settle(first + users, 2 * (first + users))
    for _ in range(3):
        rig.turn()


def alarms(rig: RolloutRig) -> dict[str, DriftAlarm]:
    with rig.store.reading() as view:
        return {one.behaviour: one for one in alarms_table.alarms(view, "policy")}


def shown(rig: RolloutRig) -> dict[str, Any]:
    """Return what the page shows of the newest look, by behaviour."""
    with rig.store.reading() as view:
        page = read_drift(view, "policy")
    return {one["name"]: one for one in page["looks"][0]["rows"]}


@pytest.mark.parametrize("lost", ["likeness", "keep_rate"])
def test_what_little_there_was_is_missed(falling: RolloutRig, lost: str) -> None:
    """The reference has less than the bar; a version that loses all of it is held by name, with the bar."""
    candidate = falling.versions[1].version
    if lost == "likeness":
        falling.engine.says_of[candidate] = [ABOUT_NOTHING]
    falling.offer(1)
    live(falling, {candidate: 0.0} if lost == "keep_rate" else {})
    told = alarms(falling)
    assert set(told) == {lost}
    half = (OF_IT if lost == "likeness" else KEPT) / 2
    assert f"bar -{half:.3g}, half of the reference" in told[lost].said
    assert len(told[lost].evidence) == 10
    falling.turn()
    assert falling.rollout.stage is Stage.CANARY
    assert lost in falling.rollout.held
    with falling.store.reading() as view:
        assert lost in release_problems(view, "policy", SETTINGS, 0.0)["drift"]
    (row,) = [one for one in shown(falling).values() if one["passed"]]
    assert row["bar"] == f"-{half:.3g}, half of the reference"


def test_who_loses_nothing_is_not_held(falling: RolloutRig) -> None:
    """The same words, and as much of them is kept."""
    falling.offer(1)
    live(falling, {})
    assert alarms(falling) == {}
    assert falling.rollout.held == ""
    assert {one["passed"] for one in shown(falling).values()} == {False}


@pytest.mark.parametrize("falling", [{"anchor_share": 0.4}], indirect=True)
def test_a_champion_that_lost_it_is_told_beside_v0(falling: RolloutRig) -> None:
    """Promoted before anybody met it: it is held against v0 with the holdout, at the same time and in all."""
    falling.engine.says_of[falling.versions[1].version] = [ABOUT_NOTHING]
    falling.promote_by_hand(1)
    time.sleep(0.3)  # The gateway looks at the flag file seven times a second.
    live(falling, {}, users=160)
    told = alarms(falling)
    assert set(told) == {"likeness", f"{TOTAL}likeness"}
    assert all("half of the reference" in one.said for one in told.values())
    assert "against the holdout on policy@v000000" in told["likeness"].said
