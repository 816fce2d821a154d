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
from typing import NamedTuple

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...streams.state.durable import fsync
from ..candidate import HeldOut, Manifest, Preference, Probe, version_name
from ..digests import adapter_digest, file_digest
from ..ranks.shards import whole
from ..sealed import SealedBatch, batch_hash
from ..train.policy import Policy
from ..train.state import Learner
from .elsewhere import AT_SERVICE, LearnerElsewhere
from .epoch import epoch_lock, read_epoch
from .estimator_files import ESTIMATORS, read_estimators
from .folder import checkpoint_path, sequences, state_of

TRAINED = "trained.safetensors"
"""The weights that are trained, where what is offered is their average."""


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


class Checkpoints:
    """The checkpoint folder of one policy, under one lease."""

    def __init__(self, folder: Path, *, policy: str, lease_epoch: int) -> None:
        self.folder, self.policy, self.lease_epoch = folder, policy, lease_epoch

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
        Raises StaleEpoch, leaving nothing behind, where EPOCH names a later lease than ours.
        """
        if sequence is None:
            numbers = sequences(self.folder)
            sequence = numbers[-1] + 1 if numbers else 0
        state = learner if isinstance(learner, LearnerElsewhere) else _state_of(learner)
        if not learner.ranks.writes:
            return msgspec.json.decode(learner.ranks.told(b""), type=Manifest)
        aside = self.folder / f".new-{sequence:06d}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        adapter = state.write(aside)
        digest = adapter_digest(adapter)
        version = origin.version or version_name(self.policy, sequence, digest)
        adapter.rename(aside / version)
        manifest = self._manifest(learner, origin, aside, sequence, version, digest, now)
        raw = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        (aside / "manifest.json").write_bytes(raw)
        (aside / "manifest.sha256").write_text(hashlib.sha256(raw).hexdigest() + "\n")
        self._publish(aside, checkpoint_path(self.folder, sequence))
        learner.ranks.told(raw)
        return manifest

    def load(self, learner: Learner | LearnerElsewhere, manifest: Manifest) -> None:
        """Put the learner into the state of a checkpoint.

        Raises ValueError where it was made for another base model or another adapter shape, or its
        weights lie at a training service that this learner does not ask, or the other way round.
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
        learner.policy.load_adapter(path / manifest.version)
        _load_trained(learner, path / TRAINED)
        learner.load_moments(load_file(path / "optimizer.safetensors"))
        learner.estimators = read_estimators(path, learner.settings)
        torch.set_rng_state(load_file(path / "rng.safetensors")["cpu"])

    def prune(self, sequences: Collection[int]) -> list[int]:
        """Delete all of these checkpoints but their manifests; return which had more.

        Lineage and audit need the manifests for ever, and a number is never used again. A crash
        half-way leaves a checkpoint that counts as damaged, and the next call finishes it.
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
        return gone

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


class _State(NamedTuple):
    """What is written of a learner, put together from all ranks."""

    policy: Policy
    files: dict[str, dict[str, Tensor]]
    estimators: bytes
    adapter: dict[str, Tensor]

    def write(self, aside: Path) -> Path:
        """Write it into a checkpoint's folder; return the folder there of its adapter."""
        for name, tensors in self.files.items():
            save_file(tensors, aside / name)
        (aside / ESTIMATORS[0]).write_bytes(self.estimators)
        self.policy.save_adapter(aside / "adapter", self.adapter)
        return aside / "adapter"


def _based_on(learner: Learner | LearnerElsewhere) -> Policy | LearnerElsewhere:
    """Return what says which base model it is."""
    return learner if isinstance(learner, LearnerElsewhere) else learner.policy


def _state_of(learner: Learner) -> _State:
    """Collect it; every rank takes part, in the same order."""
    moments = {
        name: whole(tensor).contiguous() for name, tensor in sorted(learner.moments().items())
    }
    files = {"optimizer.safetensors": moments, "rng.safetensors": {"cpu": torch.get_rng_state()}}
    if learner.average is not None:
        weights = learner.policy.trainable()
        files[TRAINED] = {name: whole(p.detach()).contiguous() for name, p in weights.items()}
    told, files[ESTIMATORS[1]] = learner.estimators.state()
    with learner.offered():
        adapter = learner.policy.adapter()
    return _State(learner.policy, files, told, adapter)


def _load_trained(learner: Learner, path: Path) -> None:
    """Where the adapter that was read is an average, keep it as that and take up the trained weights."""
    learner.average = None
    if path.exists():
        weights = learner.policy.trainable()
        learner.average = {name: p.detach().clone() for name, p in weights.items()}
        learner.take_weights(load_file(path))
