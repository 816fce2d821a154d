"""A ledger whose join admits what lanes take, and batches sealed of it for these."""

from pathlib import Path
from typing import Any

from daemon_by_hand import open_daemon_ledger
from ledger_by_hand import SPEC, Ledger

from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.lane_choice import LaneRules
from rlwd.learner.ledger.seal import seal
from rlwd.learner.sealed import SealedBatch
from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.join.joiner import Joiner


def ledger_with(folder: Path, rules: LaneRules) -> Ledger:
    """Open a ledger whose join admits what the lanes take."""
    ledger = open_daemon_ledger(folder / "rlwd.db")
    ledger.joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds, admitted=rules.admitted)
    return ledger


def by_number(version: str) -> int | None:
    """Policy age with version 30 as the head; None for what no learner of ours made."""
    return 30 - int(version.rpartition("@v")[2][:6]) if "@v" in version else None


def sealed(ledger: Ledger, rules: LaneRules, count: int = 1, **more: Any) -> SealedBatch | None:
    """Seal what is ready."""
    settings = BatchSettings(episodes=count, **{"held_out": 0.0, **more})
    with ledger.store.transaction() as tx:
        return seal(
            *(tx, "policy", settings),
            parent_sequence=0,
            max_policy_age=8,
            age=by_number,
            now=2000.0,
            lanes=rules,
        )
