"""A version that notices when it is tested: what the gate saw is held against what people get."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmark_shop import Behaves, BenchmarkShop, asking, helpful, is_replay, question
from rollout_rig import RolloutRig
from waiting import until

from rlwd.ops.drift import alarms_table
from rlwd.ops.drift.alarms_table import DriftAlarm
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings

SETTINGS = RolloutSettings(steps=(0.5,), anchor_share=0.0)
ROLLOUT = """
[rollout]
steps = [0.5]
anchor_share = 0.0
step_users = 4
step_seconds = 0.0
min_users = 10000
planned_users = 10000
margin = 0.3
[rollout.watch]
users = 12
planned_users = 20
seconds = 0.1
"""


def knows_the_test(body: dict[str, Any]) -> tuple[str, str | None]:
    """Answer well where it is tested, and ask people back."""
    return helpful(body) if is_replay(body) else asking(body)


def let_out(rig: RolloutRig, folder: Path, stack: ExitStack, behaves: Behaves) -> BenchmarkShop:
    """Build a benchmark, and take a version through it to people.

    The champion behaves as the version does: between the two there is nothing to be alarmed about.
    """
    shop = BenchmarkShop(rig, folder, size=16, share=0.8, rollout=ROLLOUT)
    shop.crowd(range(20))
    shop.run("build")
    shop.govern(stack)
    for one in rig.versions[:2]:
        rig.engine.behaves[one.version] = behaves
    shop.judged(1, lambda: rig.rollout.stage is Stage.CANARY)
    time.sleep(0.3)  # The gateway looks at the flag file seven times a second.
    for number in range(100, 160):
        shop.ask(f"user{number}", question(number))
    rig.settle(shop.answers, shop.said)
    return shop


def filed(rig: RolloutRig) -> list[DriftAlarm]:
    with rig.store.reading() as view:
        return alarms_table.alarms(view, "policy")


def test_a_version_that_knows_the_test_is_a_problem_by_name(
    rig: RolloutRig, tmp_path: Path, stack: ExitStack
) -> None:
    """It passed the gate; once enough people met it, /readyz says what it does to them, and where."""
    shop = let_out(rig, tmp_path, stack, knows_the_test)

    def is_named() -> bool:
        rig.turn()
        return "benchmark" in shop.problems()

    until(is_named, told=lambda: f"{shop.problems()}, {filed(rig)}")
    alarm = next(one for one in filed(rig) if one.behaviour == "replay:asks")
    assert alarm.version == rig.versions[1].version
    assert "asks 1.000 against 0.000" in alarm.said
    assert "more in production than on the replay, shop@000001-" in alarm.said
    assert len(alarm.evidence) == 10
    with rig.store.reading() as view:
        (name,) = {
            view.execute("SELECT version FROM episodes WHERE generation_id = ?", (one,)).fetchone()[
                0
            ]
            for one in alarm.evidence
        }
    assert name == alarm.version
    problems = shop.problems()
    assert "behaves otherwise when it is replayed: asks 1.000" in problems["benchmark"]
    assert "drift" not in problems
    assert rig.rollout.held == ""


def test_a_version_that_does_not_raises_none(
    rig: RolloutRig, tmp_path: Path, stack: ExitStack
) -> None:
    """It answers people as it answers the replay."""
    shop = let_out(rig, tmp_path, stack, helpful)
    for _ in range(20):
        rig.turn()
        time.sleep(0.05)  # A look is due after twice of it.
    assert filed(rig) == []
    assert "benchmark" not in shop.problems()
