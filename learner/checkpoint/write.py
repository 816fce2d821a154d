"""Checkpoint: a learner on disk, whole or not there; read again bit for bit (CONTRACTS 20, 23).

Written aside, every file and folder forced to the disk, then renamed: a crash at any instant leaves
the checkpoints before it as they were. Tensors are safetensors, the rest is JSON; nothing is pickled.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ...streams.state.durable import fsync
from ..candidate import HeldOut, Manifest, Preference, Probe, version_name
from ..digests import adapter_digest, file_digest
from ..sealed import SealedBatch, batch_hash
from ..train.full_policy import FullPolicy
from ..train.policy import Policy
from ..train.state import Learner
from .elsewhere import AT_SERVICE, LearnerElsewhere
from .epoch import epoch_lock, read_epoch
from .folder import checkpoint_path, state_of, whole_checkpoints
from .folder import sequences as numbers_of
from .learner_state import LearnerState, load_state, state_to_write
from .no_room import making
from .weight_chain import WeightChain, put_together
from .weight_link import link_path, spare_links


class StaleEpoch(RuntimeError):
    """A daemon with a later lease owns this folder; this learner may write nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a checkpoint comes from: all of its manifest that is not measured from its files."""

    parent_sequence: int | None = None
    """The checkpoint it was made from."""
    version: str | None = None
    """Version whose weights it holds, where they did not change; None names a new one."""
    applied: tuple[int, ...] = ()
    """Batches applied along the lineage."""
    skipped: tuple[int, ...] = ()
    """Batches given up."""
    reverted: tuple[int, ...] = ()
    """Batches taken out by a rollback."""
    batch_id: int | None = None
    """The batch that made it."""
    batch: SealedBatch | None = None
    """The same, where it could be read."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Generation ids of the batch that were not used, each with its rule."""
    held_out: HeldOut | None = None
    """Evidence for the gate."""
    preference: Preference | None = None
    """Likewise, of answers without usable ratios."""
    probe: Probe
    """What a server must answer."""
    metrics: Mapping[str, float]
    """What was measured."""
    seconds: float = 0.0
    """How long it took to make."""
    started_from: str = ""
    """Of a first one: another policy's version whose weights it has."""


class Checkpoints:
    """The checkpoint folder of one policy, under one lease."""

    def __init__(self, folder: Path, *, policy: str, lease_epoch: int) -> None:
        self.folder, self.policy, self.lease_epoch = folder, policy, lease_epoch
        self.chain = WeightChain()
        """Of full weights: what the next version's changes are changes of."""

    def sweep(self) -> None:
        """Remove what an earlier learner left half written; call it under the folder's lock."""
        for path in self.folder.glob(".new-*"):
            shutil.rmtree(path)

    def write(
        self,
        learner: Learner | LearnerElsewhere,
        origin: Origin,
        *,
        now: float,
        sequence: int | None = None,
    ) -> Manifest:
        """Make the learner's state durable as the next checkpoint and return its manifest.

        `sequence` is for who makes a checkpoint again, in another folder, under its own number.
        Raises, leaving nothing behind, StaleEpoch where EPOCH names a later lease than ours, and NoRoom
        where the disk is full.
        """
        if sequence is None:
            numbers = numbers_of(self.folder)
            sequence = numbers[-1] + 1 if numbers else 0
        state = learner if isinstance(learner, LearnerElsewhere) else state_to_write(learner)
        if not learner.ranks.writes:
            return msgspec.json.decode(learner.ranks.told(b""), type=Manifest)
        aside = self.folder / f".new-{sequence:06d}"
        shutil.rmtree(aside, ignore_errors=True)
        with making(aside):
            aside.mkdir(parents=True)
            digest, version = self._write_state(state, origin, aside, sequence)
            manifest = self._manifest(learner, origin, aside, sequence, version, digest, now)
            raw = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
            (aside / "manifest.json").write_bytes(raw)
            (aside / "manifest.sha256").write_text(hashlib.sha256(raw).hexdigest() + "\n")
            self._publish(aside, checkpoint_path(self.folder, sequence))
        learner.ranks.told(raw)
        return manifest

    def load(self, learner: Learner | LearnerElsewhere, manifest: Manifest) -> None:
        """Put the learner into the state of a checkpoint.

        Raises ValueError where it was made for another base model, another adapter shape, or the other
        of `learner.weights`, or its weights lie at a training service that this learner does not ask, or
        the other way round.
        """
        path, ours = checkpoint_path(self.folder, manifest.sequence), _based_on(learner)
        if manifest.base_digest != ours.base_digest:
            raise ValueError(
                f"{path}: made for the base model {manifest.base_digest[:12]} {manifest.base}, "
                f"and learner.model is {ours.base_digest[:12]} {ours.base}"
            )
        if isinstance(learner, LearnerElsewhere):
            learner.read(path, manifest)
            return
        if (path / AT_SERVICE).exists():
            raise ValueError(
                f"{path}: made at a training service, and learner.service.url names none"
            )
        full = link_path(path).is_dir()
        if full != isinstance(learner.policy, FullPolicy):
            kind = "full" if full else "adapter"
            raise ValueError(f"learner.weights: {path} was made with {kind!r}; use another state")
        if isinstance(learner.policy, FullPolicy):
            # Who does not write looks for no changes, and need not keep what they would be changes of.
            taken = self.chain.load if learner.ranks.writes else put_together
            try:
                learner.policy.load_weights(taken(self.folder, manifest.sequence))
            except ValueError as problem:
                raise ValueError(f"{path}: {problem}") from problem
        else:
            learner.policy.load_adapter(path / manifest.version)
        load_state(learner, path)

    def prune(self, sequences: Collection[int]) -> list[int]:
        """Delete all of these checkpoints but their manifests; return which had more.

        Lineage and audit need the manifests for ever, and a number is never used again. Of full weights
        the links stay that a checkpoint which is kept is built on. A crash half-way leaves a checkpoint
        that counts as damaged, and the next call finishes it.
        """
        gone = []
        for sequence in sequences:
            state = state_of(self.folder, sequence)
            for path in state:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            if state:
                gone.append(sequence)
        self._forget_links()
        return gone

    def _forget_links(self) -> None:
        known, kept = numbers_of(self.folder), whole_checkpoints(self.folder)
        for sequence in spare_links(self.folder, known, kept):
            link = link_path(checkpoint_path(self.folder, sequence))
            if link.is_dir():
                shutil.rmtree(link)

    def _write_state(
        self, state: LearnerState | LearnerElsewhere, origin: Origin, aside: Path, sequence: int
    ) -> tuple[str, str]:
        """Write all but the manifest into a checkpoint that is being made; returns digest and version."""
        if isinstance(state, LearnerState) and state.whole_every:
            state.write_beside(aside)
            if origin.version is not None:
                return self.chain.write_same(aside, state.weights), origin.version
            every = state.whole_every
            digest = self.chain.write(aside, state.weights, sequence=sequence, whole_every=every)
            return digest, version_name(self.policy, sequence, digest)
        adapter = state.write(aside)
        digest = adapter_digest(adapter)
        version = origin.version or version_name(self.policy, sequence, digest)
        adapter.rename(aside / version)
        return digest, version

    def _manifest(
        self,
        learner: Learner | LearnerElsewhere,
        origin: Origin,
        aside: Path,
        sequence: int,
        version: str,
        digest: str,
        now: float,
    ) -> Manifest:
        batch = origin.batch
        files = sorted(path for path in aside.rglob("*") if path.is_file())
        return Manifest(
            policy=self.policy,
            sequence=sequence,
            parent_sequence=origin.parent_sequence,
            version=version,
            digest=digest,
            files={str(path.relative_to(aside)): file_digest(path) for path in files},
            applied=origin.applied,
            skipped=origin.skipped,
            reverted=origin.reverted,
            batch_id=origin.batch_id,
            batch_hash=batch_hash(batch) if batch else "",
            spec_version=batch.spec_version if batch else "",
            episode_ids=tuple(e.generation_id for e in batch.episodes) if batch else (),
            held_out_ids=tuple(e.generation_id for e in batch.held_out) if batch else (),
            left_out=dict(origin.left_out),
            offsets=batch.offsets if batch else {},
            lease_epoch=self.lease_epoch,
            base_digest=_based_on(learner).base_digest,
            base=_based_on(learner).base,
            probe=origin.probe,
            held_out=origin.held_out,
            preference=origin.preference,
            metrics=dict(origin.metrics),
            created_at=now,
            seconds=origin.seconds,
            made_with=learner.made_with,
            started_from=origin.started_from,
        )

    def _publish(self, aside: Path, place: Path) -> None:
        for path in sorted(aside.rglob("*")):
            fsync(path)
        fsync(aside)
        with epoch_lock(self.folder):
            epoch = read_epoch(self.folder)
            if epoch > self.lease_epoch:
                shutil.rmtree(aside)
                raise StaleEpoch(
                    f"{self.folder / 'EPOCH'} is {epoch}, this learner's lease {self.lease_epoch}"
                )
            os.rename(aside, place)
        fsync(self.folder)


def _based_on(learner: Learner | LearnerElsewhere) -> Policy | LearnerElsewhere:
    """Return what says which base model it is."""
    return learner if isinstance(learner, LearnerElsewhere) else learner.policy
