"""Served times: what was learned into a version that nobody met is counted, and met in the one after it."""

from pathlib import Path

import msgspec
import pytest
from daemon_by_hand import FEEDBACK, open_daemon_ledger
from ledger_by_hand import Ledger, feedback, generation
from manifests_by_hand import manifest, rolled_back, version_of

from rlwd.daemon.status.loop_rows import served_rows
from rlwd.daemon.status.served_times import event_to_served
from rlwd.daemon.status.snapshot import describe
from rlwd.learner.candidate import Manifest
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.checkpoints_table import record_checkpoints
from rlwd.learner.ledger.seal import seal
from rlwd.streams.events.signals import Accepted


def taught(ledger: Ledger, sequence: int, *, parent: int, said_at: float) -> Manifest:
    """Let two people say something, and seal and apply it as one version."""
    for name in (f"{sequence}.a", f"{sequence}.b"):
        ledger.take(generation(name, said_at))
        ledger.take(
            feedback(f"{name}.f", name, Accepted(), said_at), partition=FEEDBACK, now=said_at
        )
    with ledger.store.transaction() as tx:
        batch = seal(
            tx,
            "policy",
            BatchSettings(episodes=2, held_out=0.0, user_share=1.0),
            parent_sequence=parent,
            max_policy_age=8,
            age=lambda version: 0,
            now=said_at + 10.0,
        )
    assert batch is not None
    made = msgspec.structs.replace(
        manifest(sequence, parent), episode_ids=tuple(one.generation_id for one in batch.episodes)
    )
    assert made.batch_id == batch.batch_id
    with ledger.store.transaction() as tx:
        record_checkpoints(tx, "policy", [made])
    return made


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Version 2 goes on from 1, which nobody met; both learned from two people."""
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    with ledger.store.transaction() as tx:
        record_checkpoints(tx, "policy", [manifest(0, None)])
    taught(ledger, 1, parent=0, said_at=1000.0)
    taught(ledger, 2, parent=1, said_at=1100.0)
    return ledger


def test_a_version_that_nobody_met_is_counted(ledger: Ledger) -> None:
    """Its people waited until the version after it came: the middle of all is not that of the lucky ones."""
    with ledger.store.reading() as view:
        nothing = event_to_served(view, "policy")
    assert (nothing["count"], nothing["unmet"], nothing["p50_any"]) == (0, 4, None)
    ledger.take(generation("met", 1150.0, version=version_of(2)))
    with ledger.store.reading() as view:
        found = event_to_served(view, "policy")
        assert describe(view, "policy")["event_to_served_s"] == found
    assert (found["count"], found["p50"], found["unmet"]) == (2, 50.0, 2)
    assert found["p50_any"] == 150.0
    own, later = served_rows(found)
    assert own[1].startswith("50.0 s median")
    assert "2 feedback" in later[1]
    assert "150.0 s" in later[1]
    ledger.store.close()


def test_what_a_rollback_left_is_met_by_nobody(ledger: Ledger) -> None:
    """3 goes back to 0, 4 goes on from there: what 1 and 2 had learned is in neither."""
    back = rolled_back(3, 0)
    on = msgspec.structs.replace(manifest(4, 3), batch_id=3)
    with ledger.store.transaction() as tx:
        record_checkpoints(tx, "policy", [back, on])
    ledger.take(generation("met", 1150.0, version=version_of(4)))
    with ledger.store.reading() as view:
        found = event_to_served(view, "policy")
    assert (found["count"], found["unmet"], found["p50_any"]) == (0, 4, None)
    ledger.store.close()
