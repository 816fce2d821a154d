"""The shadow stage as a table: what mirrored answers, or too few of them, lead to."""

from typing import Any

import msgspec
import pytest

from rlwd.ops.stages.record import Rollout, Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.stages.shadow_settings import ShadowSettings
from rlwd.ops.stages.state_machine import advance, begin, gated
from rlwd.ops.statistics.paired_look import PairedLook
from rlwd.ops.statistics.verdict import Verdict, VerdictKind

SETTINGS = RolloutSettings(shadow=ShadowSettings(share=0.1, answers=100, seconds=600.0))
SUPERSEDING = msgspec.structs.replace(
    SETTINGS, shadow=msgspec.structs.replace(SETTINGS.shadow, starved="supersede")
)


def shadow() -> Rollout:
    """A rollout whose mirrored requests began at time 0."""
    rollout = begin("tiny@v000001-11111111", "1" * 64, "v0", now=0.0, settings=SETTINGS)
    rollout = gated(rollout, Verdict(outcome=VerdictKind.PASS), 0.0, SETTINGS)
    return advance(rollout, None, 0.0, SETTINGS)


def seen(pairs: int, users: int, *against: str) -> PairedLook:
    kind = VerdictKind.FAIL if against else VerdictKind.WAIT
    return PairedLook(pairs=pairs, users=users, verdict=Verdict(outcome=kind, reasons=against))


def test_it_stands_between_gate_and_first_users_where_it_is_asked_for() -> None:
    """And is left out by default."""
    rollout = shadow()
    assert (rollout.stage, rollout.deadline) == (Stage.SHADOW, 600.0)
    assert "10.0% of the champion's requests are mirrored" in rollout.trail[-1].reason
    assert not rollout.serving
    assert not rollout.has_served
    plain = gated(
        begin("v1", "1" * 64, "v0", now=0.0, settings=RolloutSettings()),
        Verdict(outcome=VerdictKind.PASS),
        0.0,
        RolloutSettings(),
    )
    assert advance(plain, None, 0.0, RolloutSettings()).stage is Stage.CANARY


@pytest.mark.parametrize(
    ("look", "now", "settings", "stage", "says"),
    [
        (None, 599.0, SETTINGS, Stage.SHADOW, "0 of 100"),
        (seen(100, 29), 599.0, SETTINGS, Stage.SHADOW, "100 of 100, to 29 of 30 users"),
        (seen(99, 30), 599.0, SETTINGS, Stage.SHADOW, "99 of 100"),
        (seen(100, 30), 1.0, SETTINGS, Stage.CANARY, "show nothing against it; 1.0% of users"),
        (seen(5, 2, "it fails"), 1.0, SETTINGS, Stage.QUARANTINED, "it fails"),
        (seen(100, 30, "longer"), 600.0, SETTINGS, Stage.QUARANTINED, "longer"),
        (seen(5, 2), 600.0, SETTINGS, Stage.CANARY, "no room for more in time"),
        (None, 600.0, SETTINGS, Stage.CANARY, "0 of 100"),
        (None, 1.0, RolloutSettings(), Stage.CANARY, "the shadow was switched off; 1.0% of users"),
        (seen(5, 2), 600.0, SUPERSEDING, Stage.SUPERSEDED, "out of time as shadow"),
    ],
)
def test_what_a_look_leads_to(
    look: PairedLook | None, now: float, settings: RolloutSettings, stage: Stage, says: str
) -> None:
    """Refused for cause, at its first users, or without blame; and the reason is told."""
    after = advance(shadow(), None, now, settings, mirrored=look)
    assert after.stage is stage
    told = after.verdict.reason if stage is Stage.SHADOW else after.trail[-1].reason
    assert says in told
    assert after.quarantine == (stage is Stage.QUARANTINED)
    assert after.learner_returns == (stage in (Stage.QUARANTINED, Stage.SUPERSEDED))
    if stage is Stage.CANARY:
        assert after.deadline == now + settings.deadline_seconds


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"share": 1.5}, "share"),
        ({"longer": -1.0}, "longer"),
        ({"answers": 1}, "answers"),
        ({"seconds": 0.0}, "seconds"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any], named: str) -> None:
    """The error names the field."""
    with pytest.raises(ValueError, match=named):
        ShadowSettings(**wrong)
