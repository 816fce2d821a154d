"""RebuildPlan: from which checkpoint a version is made again, and by which checkpoints after it."""

from dataclasses import dataclass
from pathlib import Path

from ..candidate import Manifest, sequence_of
from ..checkpoint.folder import problem_of, read_manifest, sequences, state_of

BASE = "base"
"""As a start: the base model with the first checkpoint's adapter, made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildPlan:
    """The way from a start to the version that is asked for."""

    target: Manifest
    """The checkpoint that made the version."""
    start: Manifest | None
    """The checkpoint that it begins with, whole on disk; None: from the base model."""
    steps: tuple[int, ...]
    """Sequence numbers after the start, oldest first; the last one is the target's."""
    passed_over: tuple[str, ...]
    """What is wrong with the nearer checkpoints that are damaged."""


def plan_rebuild(folder: Path, policy: str, version: str, begin_with: str = "") -> RebuildPlan:
    """Plan from the nearest ancestor that is whole, or from `begin_with`: a version, or `base`.

    Raises ValueError, naming it, for a version that this folder has no manifest of, and for a start that
    is no ancestor, or whose files are pruned or damaged.
    """
    target = _named(folder, policy, version)
    steps, damaged, at, found = [target.sequence], list[str](), target, False
    while at.parent_sequence is not None:
        at = read_manifest(folder, at.parent_sequence)
        problem = _unfit(folder, at)
        named = begin_with in ("", at.version)
        if named and problem is None:
            return RebuildPlan(
                target=target, start=at, steps=tuple(steps), passed_over=tuple(damaged)
            )
        if problem and state_of(folder, at.sequence):
            damaged.append(problem)
        found = found or (named and bool(begin_with))
        steps.insert(0, at.sequence)
    if begin_with not in ("", BASE, at.version):
        # Of the first version the base model is all that is needed.
        why = damaged[0] if found and damaged else "only its manifest is kept" if found else ""
        raise ValueError(
            f"--from {begin_with}: {why or f'{target.version} does not descend from it'}"
        )
    return RebuildPlan(target=target, start=None, steps=tuple(steps), passed_over=tuple(damaged))


def _named(folder: Path, policy: str, version: str) -> Manifest:
    sequence = sequence_of(version)
    if version.rpartition("@v")[0] != policy:
        raise ValueError(f"{version}: is of another policy; this one is {policy}")
    known = sequences(folder)
    if sequence not in known:
        newest = read_manifest(folder, known[-1]).version if known else "none"
        raise ValueError(f"{version}: {folder} has no checkpoint of it; the newest is {newest}")
    found = read_manifest(folder, sequence)
    if found.version != version:
        raise ValueError(f"{version}: checkpoint {sequence} holds {found.version}")
    return found


def _unfit(folder: Path, manifest: Manifest) -> str | None:
    """Return why a checkpoint cannot be begun with, or None."""
    if not state_of(folder, manifest.sequence):
        return f"of {manifest.version} only the manifest is kept"
    return problem_of(folder, manifest)
