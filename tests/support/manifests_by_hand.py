"""Manifests as a learner would have written them, from what matters to a test."""

from typing import Any

from rlwd.learner.candidate import Manifest, Probe

NOBODY = "0" * 64


def version_of(sequence: int) -> str:
    """Name of the version that a checkpoint made."""
    return f"policy@v{sequence:06d}-00000000"


def manifest(sequence: int, parent: int | None, **more: Any) -> Manifest:
    """Write a checkpoint that applied the batch of its own number, unless told otherwise."""
    first = parent is None
    given: dict[str, Any] = {
        "policy": "policy",
        "sequence": sequence,
        "parent_sequence": parent,
        "version": version_of(sequence),
        "digest": NOBODY,
        "files": {},
        "applied": () if first else (sequence,),
        "skipped": (),
        "reverted": (),
        "batch_id": None if first else sequence,
        "batch_hash": "",
        "spec_version": "test@000000000000",
        "episode_ids": (),
        "held_out_ids": (),
        "offsets": {},
        "lease_epoch": 1,
        "base_digest": NOBODY,
        "probe": Probe(token_ids=(1, 2), logprobs=(-1.0,)),
        "held_out": None,
        "metrics": {},
        "created_at": 1000.0 + sequence,
        "seconds": 1.0,
        **more,
    }
    return Manifest(**given)


def rolled_back(sequence: int, to: int, **more: Any) -> Manifest:
    """Write a checkpoint that only records a return."""
    return manifest(sequence, to, version=version_of(to), batch_id=None, applied=(), **more)


def skipping(sequence: int, parent: int, **more: Any) -> Manifest:
    """Write a checkpoint that gave its batch up and bears its parent's version."""
    changes = {"version": version_of(parent), "applied": (), "skipped": (sequence,), **more}
    return manifest(sequence, parent, **changes)
