"""A version that notices when it is tested: what the gate saw is held against what people get."""

import time
from pathlib import Path
from typing import Any

from benchmark_shop import Behaves, BenchmarkShop, asking, helpful, is_replay, question
from rollout_rig import RolloutRig

from rlwd.daemon.wire_release import benchmark_place
from rlwd.ops.benchmark.production_gap import GapWatch
from rlwd.ops.drift import alarms_table
from rlwd.ops.drift.alarms_table import DriftAlarm
from rlwd.ops.looks.watched_versions import watch_gap
from rlwd.ops.rollout.problems import release_problems
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.stages.watch_settings import WatchSettings

WATCH = WatchSettings(users=12, planned_users=20, seconds=1e-6)
SETTINGS = RolloutSettings(
    steps=(0.5,),
    anchor_share=0.0,
    step_users=4,
    step_seconds=0.0,
    min_users=10_000,
    planned_users=10_000,
    margin=0.3,
    watch=WATCH,
)


def knows_the_test(body: dict[str, Any]) -> tuple[str, str | None]:
    """Answer well where it is tested, and ask people back."""
    return helpful(body) if is_replay(body) else asking(body)


def let_out(rig: RolloutRig, folder: Path, behaves: Behaves) -> list[DriftAlarm]:
    """Build a benchmark, take a version through it to people, and return what is filed of it."""
    shop = BenchmarkShop(rig, folder, size=16, share=0.8)
    shop.crowd(range(20))
    shop.run("build")
    shop.gate()
    rig.engine.behaves[rig.versions[1].version] = behaves
    shop.judged(1, lambda: rig.rollout.stage is Stage.CANARY)
    gap = GapWatch(rig.store, "policy", WATCH, benchmark_place(shop.config).replays)
    rig.release.keep = lambda *_: watch_gap(gap, 0.0, time.time())
    time.sleep(0.3)  # The gateway looks at the flag file seven times a second.
    for number in range(100, 160):
        shop.ask(f"user{number}", question(number))
    rig.settle(shop.answers, shop.said)
    for _ in range(3):
        rig.turn()
    with rig.store.reading() as view:
        return alarms_table.alarms(view, "policy")


def test_a_version_that_knows_the_test_is_a_problem_by_name(
    rig: RolloutRig, tmp_path: Path
) -> None:
    """It passed the gate; once enough people met it, it is said what it does to them, and shown where."""
    filed = let_out(rig, tmp_path, knows_the_test)
    alarm = next(one for one in filed if one.behaviour == "replay:asks")
    assert alarm.version == rig.versions[1].version
    assert "asks 1.000 against 0.000" in alarm.said
    assert "more in production than on the replay, shop@000001-" in alarm.said
    assert len(alarm.evidence) == 10
    with rig.store.reading() as view:
        problems = release_problems(view, "policy", SETTINGS, 0.0)
        (name,) = {
            view.execute("SELECT version FROM episodes WHERE generation_id = ?", (one,)).fetchone()[
                0
            ]
            for one in alarm.evidence
        }
    assert name == alarm.version
    assert "behaves otherwise when it is replayed: asks 1.000" in problems["benchmark"]
    assert "drift" not in problems
    assert rig.rollout.held == ""


def test_a_version_that_does_not_raises_none(rig: RolloutRig, tmp_path: Path) -> None:
    """It answers people as it answers the replay."""
    assert let_out(rig, tmp_path, helpful) == []
