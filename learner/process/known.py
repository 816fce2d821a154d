"""Known: what to answer of a batch that the lineage decided on already."""

from pathlib import Path

from ..candidate import Manifest
from ..checkpoint.folder import read_manifests
from ..ledger.lineage import Lineage
from .protocol import BatchFailed, Checkpointed


def known_answer(folder: Path, head: Manifest, batch_id: int) -> Checkpointed | BatchFailed | None:
    """Return what became of the batch along the lineage of `head`; None where it is still to be tried."""
    made = _made_by(folder, head, batch_id) or head
    if batch_id in head.applied:
        return Checkpointed(sequence=made.sequence, version=made.version)
    if batch_id in head.skipped:
        return BatchFailed(batch_id=batch_id, reason="given up before", sequence=made.sequence)
    if batch_id in head.reverted:
        return BatchFailed(
            batch_id=batch_id, reason="taken out by a rollback", sequence=head.sequence
        )
    return None


def _made_by(folder: Path, head: Manifest, batch_id: int) -> Manifest | None:
    chain = Lineage(read_manifests(folder)).chain(head.sequence)
    return next((made for made in chain if made.batch_id == batch_id), None)
