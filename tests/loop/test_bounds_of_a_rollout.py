"""Every bound of `[rollout]`, its guardrail and `[gate]`, from HTTP requests to what became of it.

Each is tried at two values on the same requests and must end differently: a bound that nothing feeds
would not.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_rig import LoopThread
from rollout_rig import RolloutRig

from rlwd.learner.candidate import HeldOut, Probe
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.gate.gate_run import GateRun
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.gate import GateSettings
from rlwd.ops.statistics.guardrail import GuardrailSettings

DAY = 86_400.0
SETTINGS = RolloutSettings(
    steps=(0.5,),
    anchor_share=0.0,
    step_users=4,
    step_seconds=0.0,
    min_users=30,
    margin=0.3,
    planned_users=60,
    deadline_seconds=2 * DAY,
    bake_seconds=3600.0,
    bake_share=0.5,
)
CANARY, PROMOTED, ROLLED_BACK = Stage.CANARY, Stage.PROMOTED, Stage.ROLLED_BACK
Says = Callable[[int], str]


@pytest.fixture
def rigged(tmp_path: Path, loop: LoopThread) -> Iterator[Callable[[RolloutSettings], RolloutRig]]:
    """Makes a release whose v0 serves, with these settings."""
    folders = (tmp_path / str(number) for number in itertools.count())

    def make(settings: RolloutSettings) -> RolloutRig:
        folder = next(folders)
        folder.mkdir()
        return RolloutRig(folder, loop, stack, settings)

    with ExitStack() as stack:
        yield make


def liked(_: int) -> str:
    """Accept every answer of the candidate."""
    return "accepted"


def disliked(_: int) -> str:
    """Reject every one."""
    return "rejected"


def mostly_liked(number: int) -> str:
    """Reject one in six."""
    return "accepted" if number % 6 else "rejected"


def half_liked(number: int) -> str:
    """Reject every other one."""
    return "accepted" if number % 2 else "rejected"


def end_of(rig: RolloutRig, says: Says, how: str = "", users: int = 100) -> Stage:
    """Offer a version that fails so and let users say this of it, and yes to all others."""
    rig.engine.failing[rig.versions[1].version] = how
    rig.offer(1)
    for number in range(users):
        variant, _, name = rig.ask(f"user{number}")
        if name:
            rig.say(name, says(number) if variant == "candidate" else "accepted")
    rig.settle(users)
    for _ in range(3):
        rig.turn()
    return rig.rollout.stage


@pytest.mark.parametrize(
    ("name", "value", "end", "other", "otherwise", "says"),
    [
        ("min_users", 30, PROMOTED, 10_000, CANARY, liked),
        ("step_seconds", 0.0, PROMOTED, 3600.0, CANARY, liked),
        ("min_days", 0, PROMOTED, 1, CANARY, liked),
        ("margin", 0.5, PROMOTED, 0.02, CANARY, mostly_liked),
        ("alpha_promote", 0.05, PROMOTED, 1e-40, CANARY, mostly_liked),
        ("planned_users", 60, PROMOTED, 10**9, CANARY, mostly_liked),
        ("bake_seconds", 3600.0, PROMOTED, 0.0, Stage.SETTLED, liked),
        ("deadline_seconds", DAY, CANARY, 0.05, Stage.SUPERSEDED, half_liked),
    ],
)
def test_a_setting_of_the_rollout_decides(
    rigged: Callable[[RolloutSettings], RolloutRig],
    name: str,
    value: Any,
    end: Stage,
    other: Any,
    otherwise: Stage,
    says: Says,
) -> None:
    """The same requests end otherwise with the other value."""
    careful = msgspec.structs.replace(SETTINGS.guardrail, harm_users=10_000)
    for given, wanted in ((value, end), (other, otherwise)):
        settings = msgspec.structs.replace(SETTINGS, guardrail=careful, **{name: given})
        assert end_of(rigged(settings), says) is wanted


@pytest.mark.parametrize(
    ("name", "value", "end", "other", "otherwise", "says", "how", "why"),
    [
        ("harm_users", 30, ROLLED_BACK, 10_000, CANARY, disliked, "", "harm: reward"),
        ("harm_tolerance", 0.0, ROLLED_BACK, 0.9, CANARY, half_liked, "", "harm: reward"),
        ("alpha_harm", 0.05, ROLLED_BACK, 1e-40, CANARY, half_liked, "", "harm: reward"),
        ("harm_planned_users", 300, ROLLED_BACK, 10**12, CANARY, half_liked, "", "harm: reward"),
        ("max_error_share", 0.02, ROLLED_BACK, 0.9, CANARY, disliked, "now and then", "error_rate"),
        ("max_empty_share", 0.05, ROLLED_BACK, 1.0, CANARY, disliked, "cut", "cut_off_rate"),
        ("min_bad", 5, ROLLED_BACK, 1000, CANARY, disliked, "end token", "all failed"),
        ("srm_action", "rollback", ROLLED_BACK, "hold", CANARY, liked, "away", "not split equally"),
        ("srm_alpha", 0.5, ROLLED_BACK, 1e-40, CANARY, liked, "away", "not split equally"),
    ],
)
def test_a_bound_of_the_guardrail_decides(
    rigged: Callable[[RolloutSettings], RolloutRig],
    name: str,
    value: Any,
    end: Stage,
    other: Any,
    otherwise: Stage,
    says: Says,
    how: str,
    why: str,
) -> None:
    """It takes the candidate back by its own name, and with the other value does not."""
    known: dict[str, dict[str, Any]] = {
        "max_error_share": {"harm_tolerance": 0.99, "min_bad": 1000},
        "max_empty_share": {"harm_tolerance": 0.99},
        "min_bad": {"harm_users": 10_000},
        "srm_alpha": {"srm_action": "rollback"},
    }
    others = known.get(name, {})
    for given, wanted in ((value, end), (other, otherwise)):
        guards = GuardrailSettings(**{**others, name: given})
        rig = rigged(msgspec.structs.replace(SETTINGS, guardrail=guards))
        assert end_of(rig, says, how, 160 if how == "away" else 100) is wanted
        if wanted is ROLLED_BACK:
            assert why in rig.rollout.trail[-1].reason


def evidence(estimate: float, effective: float = 50.0) -> HeldOut:
    """What held-out episodes say, of answers worth 0.8."""
    return HeldOut(
        count=60,
        behaviour=0.8,
        estimate=estimate,
        standard_error=0.02,
        effective_sample_size=effective,
    )


@pytest.mark.parametrize(
    ("name", "value", "end", "other", "otherwise", "held_out"),
    [
        ("margin", 0.05, Stage.QUARANTINED, 0.3, CANARY, evidence(0.6)),
        ("z", 0.0, Stage.QUARANTINED, 10.0, CANARY, evidence(0.7)),
        ("min_effective", 8.0, Stage.QUARANTINED, 80.0, CANARY, evidence(0.6)),
        ("require_held_out", False, CANARY, True, Stage.OFFERED, None),
        ("replicas", 1, CANARY, 2, Stage.OFFERED, None),
        ("probe_tolerance", 0.05, Stage.QUARANTINED, 0.5, CANARY, None),
    ],
)
def test_a_bound_of_the_gate_decides_whom_people_meet(
    rigged: Callable[[RolloutSettings], RolloutRig],
    name: str,
    value: Any,
    end: Stage,
    other: Any,
    otherwise: Stage,
    held_out: HeldOut | None,
) -> None:
    """From the learner's evidence and the engine's proof to who is served by it."""
    for given, wanted in ((value, end), (other, otherwise)):
        rig = rigged(SETTINGS)
        gate = GateSettings(**{name: given})
        for replica in rig.release.fleet.replicas:
            replica.tolerance = gate.probe_tolerance
        rig.release.gate = GateRun(rig.release.fleet, gate)
        off = 0.2 if name == "probe_tolerance" else 0.0
        probe = Probe(token_ids=(1, 2), logprobs=(rig.engine.scored - off,))
        rig.versions[1] = msgspec.structs.replace(rig.versions[1], held_out=held_out, probe=probe)
        rig.offer(1)
        met = {rig.ask(f"user{number}")[1] for number in range(20)}
        assert rig.rollout.stage is wanted
        assert (rig.versions[1].version in met) is (wanted is CANARY)


@pytest.mark.parametrize(("part", "share"), [(0.25, 0.125), (1.0, 0.5)])
def test_weak_evidence_begins_with_a_part_of_the_first_step(
    rigged: Callable[[RolloutSettings], RolloutRig], part: float, share: float
) -> None:
    """Three effective episodes say nothing, so fewer users meet it: the flag file says how many."""
    rig = rigged(SETTINGS)
    rig.release.gate = GateRun(rig.release.fleet, GateSettings(weak_first_step=part))
    rig.versions[1] = msgspec.structs.replace(rig.versions[1], held_out=evidence(0.1, 3.0))
    rig.offer(1)
    flags = read_flags(rig.release.flags)
    assert flags is not None
    assert flags.shares.candidate == round(10_000 * share)


@pytest.mark.parametrize(("seconds", "stays"), [(3600.0, True), (0.0, False)])
def test_a_version_that_lost_its_users_lingers(
    rigged: Callable[[RolloutSettings], RolloutRig], seconds: float, stays: bool
) -> None:
    """For requests under way the engine holds it so long, and then no more."""
    rig = rigged(msgspec.structs.replace(SETTINGS, linger_seconds=seconds))
    assert end_of(rig, disliked) is ROLLED_BACK
    rig.turn()
    rig.release.reconcile(rig.rollout.entered_at + 1.0)
    assert (rig.versions[1].version in rig.engine.paths) is stays
