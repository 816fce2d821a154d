"""A shadow from HTTP requests to the verdict: gateway, mirrored request, log, join, tables, flags.

Only the model is not real; the engine tells its load as vLLM does.
"""

from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from gateway_rig import LoopThread
from rollout_rig import RolloutRig

from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.stages.shadow_settings import ShadowSettings

SETTINGS = RolloutSettings(
    steps=(0.5,),
    anchor_share=0.0,
    step_users=4,
    step_seconds=0.0,
    shadow=ShadowSettings(share=1.0, answers=40, seconds=3600.0),
)


def ask(rig: RolloutRig, users: int) -> None:
    """Let a user after the other ask, each once the last one's mirrored answer is on the log."""
    for _ in range(users):
        if rig.rollout.stage is not Stage.SHADOW:
            return
        variant, served, _ = rig.ask(f"user{rig.asked}")
        assert (variant, served) == ("champion", rig.versions[0].version)
        rig.asked += 1
        rig.settle(2 * rig.asked)


def test_a_sound_candidate_goes_on_to_its_first_users(rig: RolloutRig) -> None:
    """After forty pairs nobody has met it; the ledger has a fate for each, and they are no exposure."""
    rig.offer(1)
    flags = read_flags(rig.release.flags)
    assert flags is not None
    assert flags.shadow is not None
    assert (flags.shadow.version, flags.candidate) == (rig.versions[1].version, None)
    ask(rig, 60)
    rollout = rig.rollout
    assert rollout.stage is Stage.CANARY
    assert "40 mirrored answers to 40 users show nothing against it" in rollout.trail[-1].reason
    with rig.store.reading() as view:
        fates = dict(view.execute("SELECT fate, COUNT(*) FROM episodes GROUP BY fate").fetchall())
        exposed = view.execute(
            "SELECT COUNT(*) FROM episodes WHERE variant IN ('candidate', 'control')"
        ).fetchone()[0]
    assert (fates, exposed) == ({"excluded:shadow": 40, "waiting": 40}, 0)
    flags = read_flags(rig.release.flags)
    assert flags is not None
    assert (flags.shadow, flags.candidate is None) == (None, False)


@pytest.mark.parametrize("how", ["status 500", "cut"])
def test_one_that_fails_or_is_cut_off_is_refused_before_anybody_met_it(
    rig: RolloutRig, how: str
) -> None:
    """Its weights are banned, the learner goes back, and the trail says what was seen."""
    rig.engine.failing[rig.versions[1].version] = how
    rig.offer(1)
    ask(rig, 60)
    rollout = rig.rollout
    assert rollout.stage is Stage.QUARANTINED
    assert (rollout.quarantine, rollout.learner_returns, rollout.has_served) == (True, True, False)
    says = "all failed" if how == "status 500" else "showed nothing or were cut off"
    assert says in rollout.trail[-1].reason
    flags = read_flags(rig.release.flags)
    assert flags is not None
    assert (flags.shadow, flags.candidate) == (None, None)


@pytest.mark.parametrize("starved", ["canary", "supersede"])
def test_a_busy_engine_starves_the_shadow_and_nobody_else(
    tmp_path: Path, loop: LoopThread, stack: ExitStack, starved: str
) -> None:
    """Nothing is mirrored while somebody waits; the time over, it goes on as the setting says."""
    shadow = msgspec.structs.replace(SETTINGS.shadow, seconds=3.0, starved=starved)
    rig = RolloutRig(tmp_path, loop, stack, msgspec.structs.replace(SETTINGS, shadow=shadow))
    rig.engine.busy = (1, 4)
    rig.offer(1)
    asked = 0
    while rig.rollout.stage is Stage.SHADOW:
        rig.ask(f"user{asked}")
        asked += 1
        rig.settle(asked)
    told = rig.rollout.trail[-1].reason
    assert "the engines had no room for more in time (mirrored answers: 0 of 40" in told
    assert rig.rollout.stage is (Stage.CANARY if starved == "canary" else Stage.SUPERSEDED)
    models = [one["model"] for one in rig.engine.asked if "messages" in one]
    assert rig.versions[1].version not in models[:asked]
    page = rig.client.get("/metrics").text
    assert 'rlwd_gateway_shadow_total{outcome="no_room"}' in page
    assert 'outcome="answered"' not in page
