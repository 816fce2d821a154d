"""WeightChain: writes full weights as whole ones or as what changed, and puts a version together again.

What a step changes in bfloat16 is some per cent of the numbers, and `kernels/delta` finds them. In float32
nearly all change: then a version is whole, which is smaller.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...kernels.delta import Patch, WeightSnapshot, apply_patches
from .weight_link import (
    LINK,
    TENSORS,
    PatchDigests,
    WeightLink,
    chain,
    link_path,
    read_link,
    weights_digest,
)

INDEX_BYTES = 4


class _Standing(NamedTuple):
    """What a next version's changes are changes of."""

    sequence: int
    link: WeightLink
    snapshot: WeightSnapshot


class WeightChain:
    """The newest version's weights, so that the next one knows what changed."""

    def __init__(self) -> None:
        self._at: _Standing | None = None

    def write(
        self, aside: Path, weights: Mapping[str, Tensor], *, sequence: int, whole_every: int
    ) -> str:
        """Write a new version's link into a checkpoint that is being made; returns the version's digest.

        It is whole where nothing was loaded or written before, each `whole_every` versions, and where the
        changes would take more room. Raises ValueError, naming the weight, where a value is NaN.
        """
        at = self._at
        patches = None
        if at is not None and at.link.depth + 1 < whole_every:
            patches = _if_smaller(at.snapshot.changes(weights), weights)
        hashes = {name: _sha256(weight) for name, weight in weights.items()}
        digest = weights_digest(hashes)
        place = link_path(aside)
        place.mkdir(parents=True)
        if at is None or patches is None:
            link = WeightLink(
                kind="whole", base=None, base_digest="", depth=0, digest=digest, tensors=hashes
            )
            save_file(dict(weights), place / TENSORS, metadata={"format": "pt"})
            self._at = _Standing(sequence, link, WeightSnapshot(weights))
        else:
            link = WeightLink(
                kind="changes",
                base=at.sequence,
                base_digest=at.link.digest,
                depth=at.link.depth + 1,
                digest=digest,
                tensors=hashes,
                patches={
                    one.name: PatchDigests(shape=one.full_shape, base=one.base, digest=one.digest)
                    for one in patches
                },
            )
            save_file(_as_tensors(patches), place / TENSORS, metadata={"format": "pt"})
            at.snapshot.advance(patches)
            self._at = at._replace(sequence=sequence, link=link)
        _write_link(place, link)
        return digest

    def write_same(self, aside: Path, weights: Mapping[str, Tensor]) -> str:
        """Write the link of a checkpoint that leaves the weights as they are; returns their digest."""
        at = self._at
        assert at is not None, "nothing was loaded that could be the same"
        assert not at.snapshot.changes(weights), "weights that were to stay changed"
        place = link_path(aside)
        place.mkdir(parents=True)
        _write_link(
            place,
            WeightLink(
                kind="same",
                base=at.sequence,
                base_digest=at.link.digest,
                depth=at.link.depth,
                digest=at.link.digest,
                tensors={},
            ),
        )
        return at.link.digest

    def load(self, folder: Path, sequence: int) -> dict[str, Tensor]:
        """Return a checkpoint's weights, to the bit, and go on from them.

        Raises ValueError, naming the link or the weight, where they cannot be put together.
        """
        weights = put_together(folder, sequence)
        made_by = sequence
        while (link := read_link(folder / f"{made_by:06d}")).kind == "same":
            assert link.base is not None, "`read_link` refuses others"
            made_by = link.base
        self._at = _Standing(made_by, link, WeightSnapshot(weights))
        return weights


def put_together(folder: Path, sequence: int) -> dict[str, Tensor]:
    """Return a checkpoint's full weights by name, to the bit; each weight is held against its digest.

    Raises ValueError, naming the link and the weight, where a link is missing, damaged or another's.
    """
    weights, digests, hashes = dict[str, Tensor](), dict[str, int](), dict[str, str]()
    for at in reversed(chain(folder, sequence)):
        checkpoint = folder / f"{at:06d}"
        link, path = read_link(checkpoint), link_path(checkpoint) / TENSORS
        if link.kind == "same":
            continue
        hashes = link.tensors
        try:
            tensors = load_file(path)
            if link.kind == "whole":
                weights = {name: tensor.clone() for name, tensor in tensors.items()}
            else:
                apply_patches(weights, _as_patches(tensors, link), digests)
        except (OSError, KeyError, ValueError, SafetensorError) as problem:
            raise ValueError(f"{path}: {problem}") from problem
    if weights.keys() != hashes.keys():
        raise ValueError(f"{folder / f'{sequence:06d}'}: other weights than its link names")
    for name, wanted in hashes.items():
        if _sha256(weights[name]) != wanted:
            raise ValueError(f"{folder / f'{sequence:06d}'}: {name} is not what its link names")
    return weights


def _if_smaller(patches: list[Patch], weights: Mapping[str, Tensor]) -> list[Patch] | None:
    size = sum(len(one.indices) * (INDEX_BYTES + one.values.element_size()) for one in patches)
    whole = sum(weight.numel() * weight.element_size() for weight in weights.values())
    return patches if size < whole else None


def _as_tensors(patches: list[Patch]) -> dict[str, Tensor]:
    found = dict[str, Tensor]()
    for one in patches:
        found[f"{one.name}/indices"], found[f"{one.name}/values"] = one.indices, one.values
    return found


def _as_patches(tensors: Mapping[str, Tensor], link: WeightLink) -> list[Patch]:
    return [
        Patch(
            name=name,
            indices=tensors[f"{name}/indices"],
            values=tensors[f"{name}/values"],
            full_shape=told.shape,
            base=told.base,
            digest=told.digest,
        )
        for name, told in link.patches.items()
    ]


def _sha256(weight: Tensor) -> str:
    raw = weight.contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(raw.data).hexdigest()


def _write_link(place: Path, link: WeightLink) -> None:
    raw = msgspec.json.format(msgspec.json.encode(link, order="sorted"), indent=1)
    (place / LINK).write_bytes(raw + b"\n")
