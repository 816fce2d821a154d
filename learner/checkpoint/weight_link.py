"""WeightLink: full weights of one checkpoint on disk, whole or as changes of another's; free of torch.

    state/checkpoints/000017/weights/link.json             how to put them together, with all digests
    state/checkpoints/000017/weights/weights.safetensors   all weights, or those that changed

A version is put together from the nearest whole one below it and all changes since. So a link outlives its
checkpoint for as long as one that is kept is built on it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

WEIGHTS = "weights"
"""Folder of a link in its checkpoint."""
LINK, TENSORS = "link.json", "weights.safetensors"


class PatchDigests(msgspec.Struct, frozen=True, kw_only=True):
    """One weight's change, beside its indices and values."""

    shape: tuple[int, ...]
    """Of the weight."""
    base: int
    """`kernels.digest` of the weight that this changes."""
    digest: int
    """The same of what it becomes."""


class WeightLink(msgspec.Struct, frozen=True, kw_only=True):
    """How one checkpoint's weights are put together."""

    kind: Literal["whole", "changes", "same"]
    """All weights; what changed since `base`; or nothing, where a rollback or a batch that was given up
    left them as `base` has them."""
    base: int | None
    """Checkpoint that made the weights which these are built on; None where they are whole."""
    base_digest: str
    """Digest of that version; empty where these are whole."""
    depth: int
    """Changes between these and the whole ones below."""
    digest: str
    """Of the version: `weights_digest`."""
    tensors: dict[str, str]
    """SHA-256, hex, of each weight's bytes; empty where they are `base`'s."""
    patches: dict[str, PatchDigests] = {}
    """Of the weights that changed."""


def weights_digest(tensors: Mapping[str, str]) -> str:
    """SHA-256, hex, of a version of full weights: over the lines `name digest` of its tensors, by name.

    It does not depend on how the version is kept.
    """
    lines = (f"{name} {tensors[name]}\n" for name in sorted(tensors))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def link_path(checkpoint: Path) -> Path:
    """Folder of a checkpoint's link."""
    return checkpoint / WEIGHTS


def read_link(checkpoint: Path) -> WeightLink:
    """Read a checkpoint's link; ValueError, naming the file, where it is missing or damaged."""
    path = link_path(checkpoint) / LINK
    try:
        link = msgspec.json.decode(path.read_bytes(), type=WeightLink)
    except FileNotFoundError:
        raise ValueError(f"{path}: missing") from None
    except (OSError, msgspec.ValidationError, msgspec.DecodeError) as problem:
        raise ValueError(f"{path}: {problem}") from problem
    if (link.base is None) != (link.kind == "whole"):
        raise ValueError(f"{path}: $.base does not fit its kind, {link.kind}")
    if link.base is not None and link.base >= int(checkpoint.name):
        raise ValueError(f"{path}: $.base is {link.base}, no checkpoint before it")
    return link


def chain(folder: Path, sequence: int) -> list[int]:
    """Return the checkpoints whose links a version is put together from, itself first, the whole one last.

    Raises ValueError, naming the link that is missing or damaged.
    """
    found = [sequence]
    while (base := read_link(folder / f"{found[-1]:06d}").base) is not None:
        found.append(base)
    return found


def links_needed(folder: Path, sequences: Iterable[int]) -> set[int]:
    """Return the checkpoints whose links these are built on, as far down as their links can be read."""
    needed = set[int]()
    for sequence in sequences:
        at: int | None = sequence
        while at is not None and at not in needed:
            needed.add(at)
            try:
                at = read_link(folder / f"{at:06d}").base
            except ValueError:
                at = None
    return needed


def spare_links(folder: Path, known: Iterable[int], kept: Iterable[int]) -> list[int]:
    """Return those of the known checkpoints on whose links none of those that are kept is built.

    Where a link that is needed cannot be read now, it may be built on any before it: none of these is spare.
    """
    needed = links_needed(folder, kept)
    unread = (at for at in needed if not _is_readable(folder / f"{at:06d}"))
    below = max(unread, default=-1)
    return [at for at in known if at not in needed and at > below]


def _is_readable(checkpoint: Path) -> bool:
    try:
        read_link(checkpoint)
    except ValueError:
        return False
    return True
