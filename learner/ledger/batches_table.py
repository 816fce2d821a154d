"""Batches: what was sealed, in its table and as the file that the learner reads.

The database is the truth; a file is written from it whenever a learner is given the batch.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...streams.join import fate
from ...streams.state.durable import replace_file
from ...streams.state.transaction import Transaction
from ..sealed import RATIO


def pending_batch(tx: Transaction, policy: str) -> tuple[int, bytes, int] | None:
    """Return (id, content, learner deaths) of the oldest batch sealed and not yet applied."""
    row = tx.execute(
        "SELECT batch_id, content, deaths FROM batches WHERE policy = ? AND state = 'sealed'"
        " ORDER BY batch_id LIMIT 1",
        (policy,),
    ).fetchone()
    return None if row is None else (row[0], bytes(row[1]), row[2])


def count_death(tx: Transaction, policy: str, batch_id: int) -> None:
    """Remember that the learner died on this batch."""
    tx.execute(
        "UPDATE batches SET deaths = deaths + 1 WHERE policy = ? AND batch_id = ?",
        (policy, batch_id),
    )


def forget_contents(tx: Transaction, policy: str, gone: Sequence[int]) -> None:
    """Forget what batches hold that are never applied again.

    These are the ones given up, reverted, or applied in checkpoints that are not kept. Ids, hash and
    fate stay; the tokens are deleted.
    """
    final = tx.execute(
        "SELECT batch_id, state, sequence FROM batches WHERE policy = ? AND LENGTH(content) > 0"
        " AND state <> 'sealed' ORDER BY batch_id",
        (policy,),
    ).fetchall()
    over = set(gone)
    never = [b for b, state, sequence in final if state != "applied" or sequence in over]
    forget_batches(tx, policy, never)


def forget_batches(tx: Transaction, policy: str, batch_ids: Sequence[int]) -> list[int]:
    """Forget what these batches hold, but for those still to be applied; return which were."""
    forgotten = []
    for batch_id in batch_ids:
        done = tx.execute(
            "UPDATE batches SET content = ? WHERE policy = ? AND batch_id = ?"
            " AND state <> 'sealed' AND LENGTH(content) > 0",
            (b"", policy, batch_id),
        )
        forgotten += [batch_id] * done.rowcount
    return forgotten


def trained_by_lane(view: Transaction, policy: str) -> dict[str, int]:
    """Return how many answers each lane has learned from, of all time; one may be in several.

    What was trained on before lanes were kept counts for the ratio lane, which was alone.
    """
    rows = view.execute(
        "SELECT lane, COUNT(*) FROM episodes WHERE policy = ? AND fate = ? GROUP BY lane",
        (policy, fate.TRAINED),
    ).fetchall()
    return by_lane(dict(rows))


def by_lane(counts: Mapping[str | None, int]) -> dict[str, int]:
    """Return the same of counts by lanes as they are kept."""
    found = Counter[str]()
    for lanes, count in counts.items():
        found.update(dict.fromkeys((lanes or RATIO).split("+"), count))
    return dict(sorted(found.items()))


def still_sealed(tx: Transaction, policy: str, batch_ids: Sequence[int]) -> list[int]:
    """Return which of these batches are still to be applied."""
    rows = tx.execute(
        "SELECT batch_id FROM batches WHERE policy = ? AND state = 'sealed'", (policy,)
    ).fetchall()
    sealed = {row[0] for row in rows}
    return [batch_id for batch_id in batch_ids if batch_id in sealed]


def sweep_files(folder: Path, sealed: Sequence[int]) -> None:
    """Delete the files of batches that are not to be applied; one is written again when it is."""
    kept = {batch_path(folder, batch_id) for batch_id in sealed}
    for path in set(folder.glob("*.json")) - kept:
        path.unlink(missing_ok=True)


def batch_path(folder: Path, batch_id: int) -> Path:
    """Return the file of a sealed batch."""
    return folder / f"{batch_id:06d}.json"


def write_batch(folder: Path, batch_id: int, content: bytes) -> Path:
    """Write a sealed batch's file, whole or not at all; the database stays the truth."""
    folder.mkdir(parents=True, exist_ok=True)
    path = batch_path(folder, batch_id)
    replace_file(path, content)
    return path
