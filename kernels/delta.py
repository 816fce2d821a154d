"""Delta: what an update changed in a weight, as sparse (index, value) patches, and how to apply it.

A bfloat16 weight moves only when the change exceeds about 1/256 of it, so an update at a small
learning rate changes some per cent of the bits (facts: 98 % and more stay). The wire format is that
of vLLM 0.32's `sparse_nccl` engine: for each parameter, named as in the checkpoint, int32 flat
indices and values in its own dtype, and the full shape. Values are absolute, so that applying a
patch twice is the same as once. Bits are compared and moved as integers: 0.0 and -0.0 differ.
Legend: N numbers of a weight, K changed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .digest import BITS, bits_of, digest, is_plain, moved_digest

MOST_NUMBERS = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch:
    """One parameter's change. The first four fields are vLLM's `SparseWeightPatch`.

    Weight (1, 2, 3) to (1, 5, 3): indices (1,), values (5,), full_shape (3,).
    """

    name: str
    """In the checkpoint."""
    indices: Tensor
    """[K] int32, rising, into the flattened weight."""
    values: Tensor
    """[K] what stands there afterwards."""
    full_shape: tuple[int, ...]
    """Of the weight."""
    base: int
    """Digest of the weight that this changes."""
    digest: int
    """Digest of what it becomes."""


class WeightSnapshot:
    """The weights as every receiver holds them, on the device where they are trained.

    `changes` compares and leaves the snapshot as it is; `advance` takes the patches up, and is to be
    called once all receivers have acknowledged them.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Copy the weights; ValueError, naming the weight, for a dtype or size without patches."""
        for name, weight in weights.items():
            if weight.dtype not in BITS or weight.numel() > MOST_NUMBERS:
                raise ValueError(f"{name}: {weight.dtype} of {weight.numel()} has no sparse patch")
        dense = torch.contiguous_format
        self.weights = {n: w.detach().clone(memory_format=dense) for n, w in weights.items()}
        self.digests = {name: digest(weight) for name, weight in self.weights.items()}

    def changes(self, weights: Mapping[str, Tensor]) -> list[Patch]:
        """Return the patches that turn the snapshot into `weights`; unchanged ones have none.

        ValueError, naming the weight, where one is missing or of another shape or dtype, or where a
        changed value is NaN: vLLM reads that as unchanged.
        """
        if weights.keys() != self.weights.keys():
            raise ValueError(f"{sorted(weights.keys() ^ self.weights.keys())[:3]} do not match")
        made = (self._change(name, weight.detach()) for name, weight in weights.items())
        return [patch for patch in made if len(patch.indices)]

    def advance(self, patches: Iterable[Patch]) -> None:
        """Take patches up; ValueError as `apply_patches` raises."""
        apply_patches(self.weights, patches, self.digests)

    def _change(self, name: str, weight: Tensor) -> Patch:
        old = self.weights[name]
        if weight.shape != old.shape or weight.dtype != old.dtype:
            raise ValueError(f"{name}: {weight.dtype} {tuple(weight.shape)} is not the snapshot's")
        indices, values = changed(weight, old)
        if bool(values.isnan().any()):
            raise ValueError(f"{name}: a changed value is NaN")
        base = self.digests[name]
        return Patch(
            name=name,
            indices=indices,
            values=values,
            full_shape=tuple(weight.shape),
            base=base,
            digest=moved_digest(base, old, indices, values),
        )


def changed(weight: Tensor, snapshot: Tensor) -> tuple[Tensor, Tensor]:
    """Return flat int32 indices, rising, and values where the weight's bits are not the snapshot's."""
    new, old = bits_of(weight), bits_of(snapshot)
    if is_plain(new):
        indices = (new != old).nonzero()[:, 0]
        return indices.to(torch.int32), new[indices].view(weight.dtype)
    from .delta_kernel import compact

    indices, values = compact(new, old)
    return indices, values.view(weight.dtype)


def apply_patches(
    weights: Mapping[str, Tensor], patches: Iterable[Patch], digests: dict[str, int] | None = None
) -> None:
    """Overwrite the patched values in place, after checking every patch against its base.

    `digests` are those of the weights where the caller keeps them, and are brought up to date; else
    they are worked out. ValueError, naming the weight, where one is unknown, a patch does not fit, or
    the base is another; nothing has been written then.
    """
    kept, todo = {} if digests is None else digests, list(patches)
    for patch in todo:
        weight = weights.get(patch.name)
        if weight is None or tuple(weight.shape) != patch.full_shape:
            raise ValueError(f"{patch.name}: no weight of shape {patch.full_shape}")
        if not weight.is_contiguous() or weight.dtype != patch.values.dtype:
            raise ValueError(f"{patch.name}: not a contiguous {patch.values.dtype}")
        if (
            len(patch.indices)
            and not 0 <= int(patch.indices.min()) <= int(patch.indices.max()) < weight.numel()
        ):
            raise ValueError(f"{patch.name}: an index is outside the weight")
        base = kept[patch.name] if patch.name in kept else digest(weight)
        if base != patch.base:
            raise ValueError(f"{patch.name}: the patch is for {patch.base:#x}, not {base:#x}")
        if moved_digest(base, weight, patch.indices, patch.values) != patch.digest:
            raise ValueError(f"{patch.name}: the patch was damaged on its way")
    for patch in todo:
        weight = weights[patch.name]
        _write(bits_of(weight), patch.indices, bits_of(patch.values))
        kept[patch.name] = patch.digest


def update_info(patches: Iterable[Patch]) -> dict[str, list[Any]]:
    """Return what vLLM's `/update_weights` wants to know before the values come."""
    todo = list(patches)
    return {
        "names": [patch.name for patch in todo],
        "dtype_names": [str(patch.values.dtype).removeprefix("torch.") for patch in todo],
        "shapes": [list(patch.full_shape) for patch in todo],
        "num_updates_list": [patch.indices.numel() for patch in todo],
    }


def _write(flat: Tensor, indices: Tensor, values: Tensor) -> None:
    if is_plain(flat):
        flat[indices.to(torch.int64)] = values
        return
    from .delta_kernel import scatter

    scatter(flat, indices.contiguous(), values.contiguous())
