"""Lineage: which checkpoint came from which, and how old a served version is along it."""

from collections.abc import Iterable

import msgspec

from ..candidate import Manifest, sequence_of


class Lineage:
    """The tree of checkpoints, by their manifests.

    Policy age counts updates along the lineage and not version numbers: a version that was rolled
    back, or a checkpoint that only records a rollback or a skipped batch, adds nothing to an age.

    Example: 0 <- 1 <- 2, then a rollback to 1 as 3, then 4. With head 4 the answers of version 1
    are 1 old, those of version 2 are 2 old (one step back to 1, one on to 4).
    """

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        self.by_sequence: dict[int, Manifest] = {}
        self._started: dict[str, str] = {}
        self.add(manifests)

    def add(self, manifests: Iterable[Manifest]) -> None:
        """Take in later checkpoints; what they applied is not kept."""
        for each in manifests:
            if each.started_from:
                self._started[each.started_from] = each.version
            self.by_sequence[each.sequence] = msgspec.structs.replace(
                each, episode_ids=(), held_out_ids=(), applied=(), skipped=(), reverted=()
            )

    def chain(self, sequence: int | None) -> list[Manifest]:
        """Return the checkpoint and its ancestors, newest first."""
        found: list[Manifest] = []
        while sequence is not None and sequence in self.by_sequence:
            found.append(self.by_sequence[sequence])
            sequence = found[-1].parent_sequence
        return found

    def updates(self, sequence: int | None) -> list[int]:
        """Return the sequence numbers of a checkpoint's effective updates, newest first.

        A rollback checkpoint stands for the version it went back to; a skip for its parent.
        """
        found: list[int] = []
        for manifest in self.chain(sequence):
            own = sequence_of(manifest.version)
            if own == manifest.sequence:
                found.append(own)
            elif own < manifest.sequence and manifest.batch_id is None:
                return found + self.updates(own)
        return found

    def age(self, version: str, head: int) -> int | None:
        """Return how many updates lie between what served and the head; None where unknown.

        A version of another life of the policy (before a restore, say) may have a number of this one's,
        and has another digest. The version of its parent that a specialist started from is its v0.
        """
        version = self._started.get(version, version)
        try:
            served = sequence_of(version)
        except ValueError:
            return None
        known = self.by_sequence.get(served)
        if known is None or known.version != version:
            return None
        ahead = self.updates(head)
        for steps_back, ancestor in enumerate(self.updates(served)):
            if ancestor in ahead:
                return steps_back + ahead.index(ancestor)
        return None
