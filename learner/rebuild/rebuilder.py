"""Rebuilder: makes a version again, checkpoint by checkpoint, in a folder of its own."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import torch

from ..candidate import Manifest
from ..checkpoint.folder import (
    START,
    checkpoint_path,
    copy_links,
    problem_of,
    read_manifest,
    weights_path,
)
from ..checkpoint.write import Checkpoints, Origin
from ..digests import file_digest
from ..made_with import MadeWith
from ..sealed import SealedBatch, batch_hash
from ..settings import LearnerSettings
from ..staying.learning import Learning
from ..train.steps import BatchGivenUp
from .likeness import Likeness, liken
from .rebuild_plan import RebuildPlan

FindBatch = Callable[[Manifest], SealedBatch]
"""Returns the batch that a checkpoint applied; raises ValueError, saying why, where it cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """One checkpoint of the chain that was made again."""

    likeness: Likeness
    """Beside the one that there was."""
    unlike: tuple[str, ...]
    """Settings, libraries, machine and files that are other ones here."""
    batch_id: int | None
    """The batch that was applied; None where none was."""
    path: Path
    """The version's folder; only that of the last one, and of the first that differs, stays."""


class Rebuilder:
    """A learner that walks down a lineage again; it writes into its own folder alone."""

    def __init__(self, folder: Path, out: Path, policy: str, settings: LearnerSettings) -> None:
        self.folder, self.policy, self.settings = folder, policy, settings
        self.out = Checkpoints(out, policy=policy, lease_epoch=0)
        self._learning: Learning | None = None
        self._made: Manifest | None = None
        self._keep = list[int]()

    def run(self, plan: RebuildPlan, batches: FindBatch) -> Iterator[Rebuilt]:
        """Make each checkpoint after the start, oldest first, and compare it; one batch is held at a time.

        Raises ValueError, naming it, where the start was damaged or pruned meanwhile, a batch cannot be
        had or does not do what it did, or the base model or a file of the settings is missing.
        """
        if plan.start is not None:
            self._made = self._copied(plan.start)
        for sequence in plan.steps:
            wanted = read_manifest(self.folder, sequence)
            if wanted.batch_id is not None and wanted.batch_id in wanted.skipped:
                continue  # Given up: its weights and all else are its parent's.
            yield self._step(wanted, batches)

    def _step(self, wanted: Manifest, batches: FindBatch) -> Rebuilt:
        learning = self._learning_as(wanted)
        origin = Origin(
            parent_sequence=wanted.parent_sequence,
            applied=wanted.applied,
            skipped=wanted.skipped,
            reverted=wanted.reverted,
            probe=wanted.probe,
            metrics={},
        )
        began = time.monotonic()
        if wanted.parent_sequence is None:
            self._begin(learning, wanted.started_from)
            origin = replace(
                origin, probe=learning.learner.probe(), started_from=wanted.started_from
            )
        elif wanted.batch_id is None:
            learning.learner.stand_on_offered()
            origin = replace(origin, version=wanted.version)
        else:
            origin = self._applied(learning, wanted, batches(wanted), origin)
        origin = replace(origin, seconds=time.monotonic() - began)
        made = self.out.write(learning.learner, origin, now=time.time(), sequence=wanted.sequence)
        before, self._made = self._made, made
        if before is not None and before.sequence not in self._keep:
            self.out.prune([before.sequence])
        found = liken(self.folder, wanted, self.out.folder, made)
        if not found.equal and not self._keep:
            self._keep.append(made.sequence)
        return Rebuilt(
            likeness=found,
            unlike=tuple(_unlike(wanted.made_with, learning)),
            batch_id=wanted.batch_id,
            path=weights_path(self.out.folder, made),
        )

    def _begin(self, learning: Learning, started_from: str) -> None:
        torch.manual_seed(learning.learner.settings.seed)
        if not started_from:
            return
        start = self.folder.parent / START / started_from
        if not start.is_dir():
            raise ValueError(f"{start}: is not there, and v0 was made from it")
        learning.learner.policy.load_adapter(start)

    def _applied(
        self, learning: Learning, wanted: Manifest, batch: SealedBatch, origin: Origin
    ) -> Origin:
        if batch_hash(batch) != wanted.batch_hash:
            raise ValueError(
                f"batch {wanted.batch_id}: is not the one that {wanted.version} applied"
            )
        try:
            update = learning.apply(batch)
        except BatchGivenUp as problem:
            told = "; ".join(_unlike(wanted.made_with, learning))
            raise ValueError(
                f"batch {wanted.batch_id}: {wanted.version} applied it, and here it is given up:"
                f" {problem}{told and f' ({told})'}"
            ) from problem
        return replace(
            origin,
            batch_id=wanted.batch_id,
            batch=batch,
            left_out=update.left_out,
            held_out=update.held_out,
            preference=update.preference,
            probe=update.probe,
            metrics=update.metrics,
        )

    def _learning_as(self, wanted: Manifest) -> Learning:
        """Return a learner with the settings that a checkpoint was made with, in the state before it."""
        settings = self._settings_of(wanted)
        threads = wanted.made_with.machine.get("threads", "") if wanted.made_with else ""
        if threads.isdigit() and int(threads) <= 4 * (os.cpu_count() or 1):
            torch.set_num_threads(int(threads))
        elif settings.threads:
            torch.set_num_threads(settings.threads)
        if self._learning is None or self._learning.learner.settings != settings:
            self._learning = Learning(settings)
            if wanted.base_digest != self._learning.learner.policy.base_digest:
                raise ValueError(
                    f"learner.model: {settings.model} is {self._learning.learner.policy.base_digest[:12]}, and"
                    f" {wanted.version} was made on {wanted.base_digest[:12]} {wanted.base}"
                )
            if self._made is not None:
                self.out.load(self._learning.learner, self._made)
        return self._learning

    def _settings_of(self, wanted: Manifest) -> LearnerSettings:
        """Return the settings as they were; the files that they name where these lie now."""
        made_with = wanted.made_with
        if made_with is None:
            return self.settings
        was, ours = made_with.read_settings(), self.settings
        if was.service.url:
            raise ValueError(
                f"{wanted.version}: was made at a training service ({was.service.url}), not by these libraries"
            )
        if made_with.machine.get("device", "").startswith("cpu") or not torch.cuda.is_available():
            was = msgspec.structs.replace(was, device="cpu")
        model = ours.model or was.model
        if not Path(model).is_dir():
            raise ValueError(
                f"learner.model: {model!r} is no folder; {wanted.version} needs {wanted.base}"
            )
        return msgspec.structs.replace(
            was,
            model=model,
            drift=msgspec.structs.replace(
                was.drift,
                probes=_lies(
                    made_with, "learner.drift.probes", was.drift.probes, ours.drift.probes
                ),
            ),
            replay=msgspec.structs.replace(
                was.replay,
                texts=_lies(made_with, "learner.replay.texts", was.replay.texts, ours.replay.texts),
            ),
        )

    def _copied(self, start: Manifest) -> Manifest:
        """Copy the start, so that nothing that a daemon prunes meanwhile is missed half-way."""
        source = checkpoint_path(self.folder, start.sequence)
        try:
            shutil.copytree(source, checkpoint_path(self.out.folder, start.sequence))
            copy_links(self.folder, self.out.folder, [start.sequence])
            problem = problem_of(self.out.folder, start)
        except (OSError, shutil.Error) as failure:
            problem = str(failure)
        if problem is not None:
            raise ValueError(f"{source}: changed while it was read: {problem}; try again")
        return start


def _lies(made_with: MadeWith, key: str, was: str, ours: str) -> str:
    """Return where a file lies now: at its old place, or where the config names it; empty where none was."""
    if not was:
        return ""
    places = [place for place in (was, ours) if place and Path(place).is_file()]
    if not places:
        raise ValueError(f"{key}: {was} is not there any more; name where it lies")
    wanted = made_with.files.get(key)
    return next((place for place in places if file_digest(Path(place)) == wanted), places[-1])


def _unlike(was: MadeWith | None, learning: Learning) -> list[str]:
    if was is None:
        return ["its manifest does not say with what it was made: these are today's settings"]
    device = learning.learner.policy.device.type
    return was.apart(MadeWith.measured(learning.learner.settings, device))
