"""What the manifests say was learned ends in the ledger, once (CONTRACTS 17, 18, 20)."""

from pathlib import Path

import msgspec
import pytest
from daemon_by_hand import fill, open_daemon_ledger
from ledger_by_hand import Ledger
from manifests_by_hand import manifest, rolled_back, skipping, version_of

from rlwd.daemon.audit.audit import audit
from rlwd.learner.candidate import Manifest
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.batches_table import forget_batches
from rlwd.learner.ledger.checkpoints_table import record_checkpoints, reopen_lost
from rlwd.learner.ledger.seal import seal
from rlwd.learner.sealed import SealedBatch

V0 = manifest(0, None)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger with the daemon's tables."""
    return open_daemon_ledger(tmp_path / "rlwd.db")


def sealed(ledger: Ledger, prefix: str = "s.g") -> SealedBatch:
    fill(ledger, 40, prefix=prefix)
    with ledger.store.transaction() as tx:
        batch = seal(
            tx,
            "policy",
            BatchSettings(episodes=40),
            parent_sequence=0,
            max_policy_age=8,
            age=lambda version: 0,
            now=2000.0,
        )
    assert batch is not None
    assert batch.held_out, "the ids were chosen so that some are held out"
    return batch


def with_ids(made: Manifest, batch: SealedBatch) -> Manifest:
    return msgspec.structs.replace(
        made,
        episode_ids=tuple(one.generation_id for one in batch.episodes),
        held_out_ids=tuple(one.generation_id for one in batch.held_out),
    )


def record(ledger: Ledger, *manifests: Manifest) -> list[int]:
    with ledger.store.transaction() as tx:
        return [one.sequence for one in record_checkpoints(tx, "policy", manifests)]


def test_an_applied_batch_trains_its_episodes(ledger: Ledger) -> None:
    """The manifest of a batch ends its episodes as trained, in which version; held out stays so."""
    batch = sealed(ledger)
    held, rest = len(batch.held_out), len(batch.episodes)
    assert ledger.fates() == {"excluded:held_out": held, "waiting": rest}
    assert record(ledger, V0, with_ids(manifest(1, 0), batch)) == [0, 1]
    assert ledger.fates() == {"excluded:held_out": held, "trained": rest}
    assert ledger.ask("SELECT state, sequence FROM batches") == ("applied", 1)
    trained = ledger.ask("SELECT COUNT(*) FROM episodes WHERE trained_version = ?", version_of(1))
    assert trained == (rest,)


def test_reading_the_same_manifests_again_changes_nothing(ledger: Ledger) -> None:
    """A repeated record is no news, and what happened to an episode since then stays."""
    made = with_ids(manifest(1, 0), sealed(ledger))
    record(ledger, V0, made)
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE batches SET state = 'reverted'")
    assert record(ledger, V0, made) == []
    assert ledger.ask("SELECT state FROM batches") == ("reverted",)


def test_a_batch_given_up_says_so_of_all_its_episodes(ledger: Ledger) -> None:
    """Skipped: nothing was learned of it, the held-out ones included, and nobody waits for it."""
    batch = sealed(ledger)
    record(ledger, V0, with_ids(skipping(1, 0), batch))
    assert ledger.fates() == {"excluded:batch_failed": 40}
    assert ledger.ask("SELECT state, sequence FROM batches") == ("skipped", 1)
    assert ledger.ask("SELECT COUNT(*) FROM episodes WHERE trained_version IS NOT NULL") == (0,)


def test_a_reverted_batch_stays_trained(ledger: Ledger) -> None:
    """A rollback takes a batch's effect out; its episodes stay trained in the version they made."""
    batch = sealed(ledger)
    record(ledger, V0, with_ids(manifest(1, 0), batch))
    before = ledger.fates()
    assert record(ledger, V0, rolled_back(2, 0, reverted=(1,))) == [2]
    assert ledger.ask("SELECT state FROM batches") == ("reverted",)
    assert ledger.fates() == before


def test_all_that_was_missed_is_made_up_for_in_order(ledger: Ledger) -> None:
    """After a crash several manifests may be new: they count oldest first, whatever the order."""
    first, second = sealed(ledger), sealed(ledger, prefix="other")
    manifests = [
        rolled_back(3, 1, reverted=(2,)),
        with_ids(manifest(2, 1), second),
        V0,
        with_ids(manifest(1, 0), first),
    ]
    assert record(ledger, *manifests) == [0, 1, 2, 3]
    states = ledger.ask("SELECT GROUP_CONCAT(state) FROM (SELECT * FROM batches ORDER BY batch_id)")
    assert states == ("applied,reverted",)


def test_a_batch_whose_row_was_lost_is_rebuilt_from_the_manifest(ledger: Ledger) -> None:
    """The manifest names its episodes itself, so the ledger needs no row of the batch."""
    batch = sealed(ledger)
    with ledger.store.transaction() as tx:
        tx.execute("DELETE FROM batches")
        tx.execute("UPDATE episodes SET stage = 'ready', batch_id = NULL WHERE stage = 'sealed'")
    record(ledger, V0, with_ids(manifest(1, 0), batch))
    assert ledger.fates()["trained"] == len(batch.episodes)
    assert ledger.ask("SELECT COUNT(*) FROM episodes WHERE stage = 'ready'") == (0,)


def test_a_batch_that_nobody_can_read_ends_by_name(ledger: Ledger) -> None:
    """Applied, lost with its checkpoint, its tokens forgotten: given up, and the ledger closes."""
    batch = sealed(ledger)
    ids = tuple(one.generation_id for one in batch.episodes)
    held_out = tuple(one.generation_id for one in batch.held_out)
    lost = manifest(1, 0, episode_ids=ids, held_out_ids=held_out)
    with ledger.store.transaction() as tx:
        record_checkpoints(tx, "policy", [V0, lost])
        forget_batches(tx, "policy", [1])
        assert reopen_lost(tx, "policy", V0) == [1]
    unread = manifest(2, 0, applied=(), skipped=(1,), batch_id=1, version=version_of(0))
    with ledger.store.transaction() as tx:
        record_checkpoints(tx, "policy", [V0, lost, unread])
    assert ledger.fates() == {
        "excluded:batch_failed": len(ids),
        "excluded:held_out": len(held_out),
    }
    with ledger.store.reading() as view:
        assert audit(view, "policy", [V0, lost, unread]).problems == ()
