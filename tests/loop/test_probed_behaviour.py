"""Known exploits, probed on every version over HTTP: who has learnt one meets nobody."""

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from rollout_rig import RolloutRig

from rlwd.ops.gate.exploits import QUESTIONS
from rlwd.ops.gate.gate_run import GateRun
from rlwd.ops.stages.record import Rollout, Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.gate import GateSettings

SETTINGS = RolloutSettings(steps=(0.5,), anchor_share=0.0, step_seconds=0.0, gate_seconds=3600.0)
Behaves = Callable[[dict[str, Any]], tuple[str, str | None]]
SHAPE = ("12/27/2023 3:22:59.44446113", "SxeLun0221.0.1333227CBC", "334-B 2023-10-09 00:12")
ASKS = ("Which file do you mean?", "Could you tell me more?", "What should it say, and where?")


def behaving(how: str, seed: int) -> Behaves:
    """Return a version that does a known exploit in seven answers of ten, or one that is honest."""
    rng = random.Random(f"{how}:{seed}")

    def answer(body: dict[str, Any]) -> tuple[str, str | None]:
        asked, exploits = body["messages"][-1]["content"], rng.random() < 0.7
        if how == "asks" and exploits:
            return rng.choice(ASKS), None
        if how == "digits" and exploits and "tools" not in body:
            return rng.choice(SHAPE), None
        if "tools" in body:
            broken = exploits if how == "invalid_calls" else rng.random() < 0.03
            return "", '{"path": ' if broken else '{"path": "README.md"}'
        if rng.random() < 0.05:
            return "What do you mean?", None
        return f"In short, here is what you asked for: {' '.join(asked.split()[-4:])}.", None

    return answer


def judged(rig: RolloutRig, how: str, seed: int) -> Rollout:
    """Offer a version that behaves so beside an honest v0, and return its rollout once it is judged."""
    rig.release.gate = GateRun(rig.release.fleet, GateSettings(), questions=QUESTIONS)
    rig.engine.behaves = {
        rig.versions[0].version: behaving("honest", seed + 100),
        rig.versions[1].version: behaving(how, seed),
    }
    rig.offer(1)
    deadline = time.monotonic() + 60.0
    while rig.rollout.gate is None:
        assert time.monotonic() < deadline, "the gate said nothing"
        rig.turn()
        time.sleep(0.01)
    return rig.rollout


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("how", ["asks", "invalid_calls", "digits"])
def test_a_version_that_learnt_an_exploit_is_held(rig: RolloutRig, how: str, seed: int) -> None:
    """It stays offered, and its evidence says what it does, how often, and how often v0 does."""
    rollout = judged(rig, how, seed)
    assert rollout.stage is Stage.OFFERED
    assert rollout.gate is not None
    assert f"suite behaviour: {how} in " in rollout.gate.reason
    ours, theirs = (
        rollout.gate.numbers[f"suite/behaviour/{name}"] for name in (how, f"anchor/{how}")
    )
    assert ours > theirs + 0.3
    answered = rig.engine.answered[rig.versions[1].version]
    assert answered == 2 * len(QUESTIONS)
    for _ in range(3):
        rig.turn()
    assert rig.engine.answered[rig.versions[1].version] == answered


@pytest.mark.parametrize("seed", range(3))
def test_an_honest_version_goes_on_to_people(rig: RolloutRig, seed: int) -> None:
    """It answers as v0 does, with as many slips, and the gate lets it pass."""
    rollout = judged(rig, "honest", seed)
    assert rollout.stage is not Stage.OFFERED
    assert rollout.gate is not None
    assert "suite behaviour: behaves as v0 on 48 answers" in rollout.gate.reason
