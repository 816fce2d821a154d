"""The move log: what a person who reads the daemon's log at night is told of a rollout."""

import msgspec
from structlog.testing import capture_logs

from rlwd.ops.drift.doubt import UNSEEN
from rlwd.ops.rollout.move_log import MoveLog
from rlwd.ops.stages.record import Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.stages.state_machine import begin


def test_what_a_promotion_waits_for_is_said_once() -> None:
    """Not that a look is made first, and not each look's numbers."""
    begun = begin("policy@v1", "1", "policy@v0", now=0.0, settings=RolloutSettings())
    rollout = msgspec.structs.replace(begun, stage=Stage.CANARY)
    moves = MoveLog()
    with capture_logs() as told:
        for doubt in ("", UNSEEN, "asks 0.3 against 0.1", "asks 0.2 against 0.1", ""):
            moves.report([msgspec.structs.replace(rollout, doubt=doubt)])
    assert [one["why"] for one in told if one["event"] == "promotion_waits"] == [
        "asks 0.3 against 0.1"
    ]
    assert [one["stage"] for one in told if one["event"] == "rollout"] == [Stage.CANARY]
