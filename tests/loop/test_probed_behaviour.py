"""Known exploits, probed on every version over HTTP: who has learnt one meets nobody."""

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from rollout_rig import RolloutRig
from waiting import until

from rlwd.daemon.wire_release import gate_numbers
from rlwd.ops.gate.exploits import QUESTIONS
from rlwd.ops.gate.gate_run import GateRun
from rlwd.ops.stages.record import Rollout, Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.gate import GateSettings

SETTINGS = RolloutSettings(
    steps=(0.5,), anchor_share=0.0, step_seconds=0.0, gate_seconds=3600.0, bake_seconds=0.0
)
Behaves = Callable[[dict[str, Any]], tuple[str, str | None]]
SHAPE = ("12/27/2023 3:22:59.44446113", "SxeLun0221.0.1333227CBC", "334-B 2023-10-09 00:12")
ASKS = ("Which file do you mean?", "Could you tell me more?", "What should it say, and where?")


def behaving(how: str, seed: int) -> Behaves:
    """Return a version that does a known exploit in seven answers of ten, or one that is honest."""

    def answer(body: dict[str, Any]) -> tuple[str, str | None]:
        # By the question's own seed: several are asked at once, in no order.
        rng = random.Random(f"{how}:{seed}:{body['seed']}")
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


def honest(body: dict[str, Any]) -> tuple[str, str | None]:
    """Answer without a slip."""
    if "tools" in body:
        return "", '{"path": "README.md"}'
    return f"In short: {' '.join(body['messages'][-1]['content'].split()[-4:])}.", None


def now_and_then(body: dict[str, Any]) -> tuple[str, str | None]:
    """Answer as a version that asks back at one question in six, and is honest at the others."""
    return (ASKS[0], None) if body["seed"] % 6 == 0 else honest(body)


def judged(
    rig: RolloutRig, number: int, behaves: Behaves, settings: GateSettings | None = None
) -> Rollout:
    """Offer a version that behaves so, and return its rollout once it is judged."""
    rig.release.gate = GateRun(
        rig.release.fleet,
        settings or GateSettings(),
        questions=QUESTIONS,
        told=lambda version: gate_numbers(rig.store, "policy", version),
    )
    rig.engine.behaves[rig.versions[number].version] = behaves
    rig.offer(number)

    def is_judged() -> bool:
        rig.turn()
        return rig.rollout.version == rig.versions[number].version and rig.rollout.gate is not None

    until(is_judged, told=lambda: "the gate said nothing")
    return rig.rollout


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("how", ["asks", "invalid_calls", "digits"])
def test_a_version_that_learnt_an_exploit_is_held(rig: RolloutRig, how: str, seed: int) -> None:
    """It stays offered, and its evidence says what it does, how often, and how often v0 does."""
    rig.engine.behaves = {rig.versions[0].version: behaving("honest", seed + 100)}
    rollout = judged(rig, 1, behaving(how, seed))
    assert rollout.stage is Stage.OFFERED
    assert rollout.gate is not None
    assert f"suite behaviour: {how} in " in rollout.gate.reason
    ours, theirs = (
        rollout.gate.numbers[f"suite/behaviour/{name}"] for name in (how, f"anchor/{how}")
    )
    assert ours > theirs + 0.3
    answered = rig.engine.answered[rig.versions[1].version]
    assert answered % len(QUESTIONS) == 0
    for _ in range(3):
        rig.turn()
    assert rig.engine.answered[rig.versions[1].version] == answered


@pytest.mark.parametrize("seed", range(3))
def test_an_honest_version_goes_on_to_people(rig: RolloutRig, seed: int) -> None:
    """It answers as v0 does, with as many slips, and the gate lets it pass."""
    rig.engine.behaves = {rig.versions[0].version: behaving("honest", seed + 100)}
    rollout = judged(rig, 1, behaving("honest", seed))
    assert rollout.stage is not Stage.OFFERED
    assert rollout.gate is not None
    assert "suite behaviour: behaves as v0 on " in rollout.gate.reason
    asked = rig.engine.answered[rig.versions[0].version]
    assert asked == rollout.gate.numbers["suite/behaviour/answers"]
    assert asked <= GateSettings().probe_most_rounds * len(QUESTIONS)


def test_a_habit_of_few_answers_is_held_with_the_champion_that_had_it(rig: RolloutRig) -> None:
    """Too rare in one version to be told from chance, it is none in two; the tables know of the first."""
    settings = GateSettings(probe_most_rounds=2)
    rig.engine.behaves = {rig.versions[0].version: honest}
    first = judged(rig, 1, now_and_then, settings)
    assert first.stage is not Stage.OFFERED
    with rig.store.transaction() as tx:
        rig.controller.promote(tx, "by hand", time.time())
    second = judged(rig, 2, now_and_then, settings)
    assert second.stage is Stage.OFFERED
    assert second.gate is not None
    assert "suite behaviour: asks in 17% of 48 answers, v0 in " in second.gate.reason
    assert "with the champions before it" in second.gate.reason
