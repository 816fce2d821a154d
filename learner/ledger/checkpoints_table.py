"""Checkpoints table: what the manifests say was applied, in the ledger (CONTRACTS 17 to 20).

The manifests on disk are the only truth about what was applied. The state database is brought up to
date from them, in the same way after a message of the learner's and after a crash.
"""

from collections import Counter
from collections.abc import Iterable

from ...streams.events.stage import EpisodeStage
from ...streams.join import episodes_table, fate
from ...streams.state.transaction import Transaction
from ..candidate import Manifest

MIGRATIONS = (
    """
CREATE TABLE checkpoints (
    policy TEXT NOT NULL, sequence INTEGER NOT NULL, parent_sequence INTEGER,
    version TEXT NOT NULL, batch_id INTEGER, created_at REAL NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (policy, sequence))
""",
)


def record_checkpoints(
    tx: Transaction, policy: str, manifests: Iterable[Manifest]
) -> list[Manifest]:
    """Write what new checkpoints applied or gave up; return those that were new, oldest first."""
    known = {
        row[0]
        for row in tx.execute(
            "SELECT sequence FROM checkpoints WHERE policy = ?", (policy,)
        ).fetchall()
    }
    new = sorted(
        (one for one in manifests if one.sequence not in known), key=lambda one: one.sequence
    )
    for manifest in new:
        _record(tx, policy, manifest)
    return new


def reopen_lost(tx: Transaction, policy: str, head: Manifest) -> list[int]:
    """Take up again the batches that were applied in a checkpoint that is lost; return them.

    Where the newest checkpoint is damaged the learner goes on from the one before it. A batch that only
    the damaged one had applied is applied again; a reverted batch never is (CONTRACTS 20).
    """
    kept = {*head.applied, *head.skipped, *head.reverted}
    lost = [
        row[0]
        for row in tx.execute(
            "SELECT batch_id FROM batches WHERE policy = ? AND state = 'applied' ORDER BY batch_id",
            (policy,),
        ).fetchall()
        if row[0] not in kept
    ]
    for batch_id in lost:
        tx.execute(
            "UPDATE batches SET state = 'sealed', sequence = NULL"
            " WHERE policy = ? AND batch_id = ?",
            (policy, batch_id),
        )
        tx.execute(
            f"UPDATE episodes SET stage = '{EpisodeStage.SEALED}', fate = ?, trained_version = NULL"
            " WHERE policy = ? AND batch_id = ? AND fate = ?",
            (fate.WAITING, policy, batch_id, fate.TRAINED),
        )
    return lost


def _record(tx: Transaction, policy: str, manifest: Manifest) -> None:
    tx.execute(
        "INSERT INTO checkpoints (policy, sequence, parent_sequence, version, batch_id, created_at,"
        " seconds) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            policy,
            manifest.sequence,
            manifest.parent_sequence,
            manifest.version,
            manifest.batch_id,
            manifest.created_at,
            manifest.seconds,
        ),
    )
    if manifest.batch_id is not None:
        given_up = manifest.batch_id in manifest.skipped
        _settle_batch(tx, policy, manifest, "skipped" if given_up else "applied")
    for batch_id in manifest.reverted:
        tx.execute(
            "UPDATE batches SET state = 'reverted' WHERE policy = ? AND batch_id = ?",
            (policy, batch_id),
        )


def _settle_batch(tx: Transaction, policy: str, manifest: Manifest, state: str) -> None:
    tx.execute(
        "UPDATE batches SET state = ?, sequence = ? WHERE policy = ? AND batch_id = ?",
        (state, manifest.sequence, policy, manifest.batch_id),
    )
    for generation_id, rule in manifest.left_out.items():
        episodes_table.close(tx, policy, (generation_id,), rule)
    if state == "skipped":
        ids = (*manifest.episode_ids, *manifest.held_out_ids)
        if not ids:
            # The learner could not read the batch, so its manifest names no episode.
            ids = _sealed_in(tx, policy, manifest.batch_id)
        given_up = [each for each in ids if each not in manifest.left_out]
        episodes_table.close(tx, policy, given_up, _reason(manifest))
        return
    episodes_table.close(tx, policy, manifest.trained_ids, fate.TRAINED)
    tx.executemany(
        "UPDATE episodes SET trained_version = ?, batch_id = ?"
        " WHERE policy = ? AND generation_id = ?",
        [
            (manifest.version, manifest.batch_id, policy, generation_id)
            for generation_id in manifest.trained_ids
        ],
    )


def _reason(manifest: Manifest) -> str:
    """Return by which rule a batch that was given up ends what was kept from training of it.

    Where there was nothing to learn, each episode has a rule of its own, and most of them have this one;
    else the batch failed.
    """
    rules = Counter(manifest.left_out.get(each, fate.BATCH_FAILED) for each in manifest.episode_ids)
    if not rules or fate.BATCH_FAILED in rules:
        return fate.BATCH_FAILED
    return max(sorted(rules), key=lambda rule: rules[rule])


def _sealed_in(tx: Transaction, policy: str, batch_id: int | None) -> tuple[str, ...]:
    rows = tx.execute(
        "SELECT generation_id FROM episodes WHERE policy = ? AND batch_id = ?"
        f" AND stage = '{EpisodeStage.SEALED}' ORDER BY generation_id",
        (policy, batch_id),
    ).fetchall()
    return tuple(row[0] for row in rows)
