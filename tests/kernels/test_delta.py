"""Sparse patches rebuild every byte, over a chain of updates, and only on the base they are for.

These run twice: here through the reference, and through the Triton kernel in `test_interpreted`.
"""

import json
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlwd.kernels.delta import Patch, WeightSnapshot, apply_patches, changed, update_info
from rlwd.kernels.digest import digest

INTERPRETED = os.environ.get("RLWD_KERNELS") == "interpret"


def weights(seed: int = 0) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    shapes = {"up": (70, 129), "norm": (64,), "none": (0, 4)}
    return {
        name: torch.randn(shape, generator=source).mul_(0.02).bfloat16()
        for name, shape in shapes.items()
    }


def stepped(before: dict[str, Tensor], seed: int, rate: float) -> dict[str, Tensor]:
    """An optimizer's small step on the float32 master, rounded to bfloat16."""
    source = torch.Generator().manual_seed(seed)
    return {
        name: (w.float() + rate * torch.randn(w.shape, generator=source)).bfloat16()
        for name, w in before.items()
    }


def same_bytes(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(
        torch.equal(one[name].view(torch.int16), other[name].view(torch.int16)) for name in one
    )


def test_worked_example() -> None:
    """The docstring's weight (1, 2, 3) to (1, 5, 3)."""
    before, after = (
        {"w": torch.tensor(v, dtype=torch.bfloat16)} for v in ((1, 2, 3), (1.0, 5.0, 3.0))
    )
    (patch,) = WeightSnapshot(before).changes(after)
    assert (patch.indices.tolist(), patch.values.tolist()) == ([1], [5.0])
    assert (patch.indices.dtype, patch.values.dtype) == (torch.int32, torch.bfloat16)
    assert patch.full_shape == (3,)


@pytest.mark.parametrize("rate", [1e-6, 1e-4])
def test_chain_is_byte_equal(rate: float) -> None:
    """Five updates on, a receiver that saw only patches holds the trainer's bytes and digests."""
    trained = weights()
    snapshot, served = WeightSnapshot(trained), {name: w.clone() for name, w in trained.items()}
    counts = []
    for step in range(5):
        trained = stepped(trained, 10 + step, rate)
        patches = snapshot.changes(trained)
        apply_patches(served, patches)
        snapshot.advance(patches)
        assert same_bytes(served, trained)
        assert all(digest(trained[patch.name]) == patch.digest for patch in patches)
        counts.append(sum(patch.indices.numel() for patch in patches))
    assert snapshot.digests == {name: digest(weight) for name, weight in trained.items()}
    assert 0 < max(counts) < 9094


def test_snapshot_waits() -> None:
    """Until it is advanced the snapshot stays, so that a lost patch is in the next one."""
    first, snapshot = weights(), WeightSnapshot(weights())
    second = stepped(first, 1, 1e-3)
    third = stepped(second, 2, 1e-3)
    snapshot.changes(second)
    apply_patches(first, snapshot.changes(third))
    assert same_bytes(first, third)


def test_transposed_weight() -> None:
    """A weight that lies in memory by columns is patched by rows, as a checkpoint counts."""
    before = {"w": torch.arange(6.0).bfloat16().reshape(2, 3).T}
    after = {"w": before["w"].clone()}
    after["w"][0, 1] = 9.0
    snapshot = WeightSnapshot(before)
    (patch,) = snapshot.changes(after)
    assert patch.indices.tolist() == [1]
    snapshot.advance([patch])
    assert torch.equal(snapshot.weights["w"], after["w"])


def test_bits_not_values() -> None:
    """A zero that changed its sign is a change; a NaN that stayed is none."""
    nan = float("nan")
    before = torch.tensor([0.0, nan, 1.0], dtype=torch.bfloat16)
    indices, _ = changed(torch.tensor([-0.0, nan, 1.0], dtype=torch.bfloat16), before)
    assert indices.tolist() == [0]


def test_applying_twice() -> None:
    """Values are absolute: to write them again changes nothing, and the base check notices."""
    before, snapshot = weights(), WeightSnapshot(weights())
    patches = snapshot.changes(stepped(before, 1, 1e-2))
    apply_patches(before, patches)
    with pytest.raises(ValueError, match=r"up: the patch is for 0x[0-9a-f]+, not 0x"):
        apply_patches(before, patches)


def test_wrong_base_writes_nothing() -> None:
    """A patch for other weights is refused, and so are those that came before it in the list."""
    trained = stepped(weights(), 1, 1e-2)
    patches = WeightSnapshot(weights()).changes(trained)
    served = weights()
    served["norm"][3] = 1.0
    before = {name: w.clone() for name, w in served.items()}
    assert [patch.name for patch in patches] == ["up", "norm"]
    with pytest.raises(ValueError, match="norm: the patch is for"):
        apply_patches(served, patches)
    assert same_bytes(served, before)


def damaged(patch: Patch, **changes: object) -> Patch:
    fields = {name: getattr(patch, name) for name in Patch.__dataclass_fields__}
    return Patch(**{**fields, **changes})


def test_refused() -> None:
    """A flipped bit, an index outside, an unknown name, a shape, a dtype and a NaN, by name."""
    (patch, _) = WeightSnapshot(weights()).changes(stepped(weights(), 1, 1e-2))
    values = patch.values.clone()
    values[0] += 1
    outside = patch.indices.clone()
    outside[-1] = 70 * 129
    for bad, problem in (
        (damaged(patch, values=values), "up: the patch was damaged on its way"),
        (damaged(patch, indices=outside), "up: an index is outside the weight"),
        (damaged(patch, name="down"), "down: no weight of shape"),
        (damaged(patch, full_shape=(129, 70)), "up: no weight of shape"),
        (damaged(patch, values=values.half()), "up: not a contiguous torch.float16"),
    ):
        with pytest.raises(ValueError, match=problem):
            apply_patches(weights(), [bad])
    snapshot = WeightSnapshot(weights())
    after = weights()
    after["norm"][0] = float("nan")
    with pytest.raises(ValueError, match="norm: a changed value is NaN"):
        snapshot.changes(after)
    with pytest.raises(ValueError, match=r"\['norm'\] do not match"):
        snapshot.changes({name: w for name, w in weights().items() if name != "norm"})
    with pytest.raises(ValueError, match=r"up: torch\.float32"):
        snapshot.changes({**weights(), "up": weights()["up"].float()})
    with pytest.raises(ValueError, match=r"ids: torch\.int64 of 3"):
        WeightSnapshot({"ids": torch.zeros(3, dtype=torch.int64)})


@settings(max_examples=10 if INTERPRETED else 80, deadline=None)
@given(
    numbers=st.integers(0, 9000),
    share=st.sampled_from([0.0, 0.001, 0.5, 1.0]),
    dtype=st.sampled_from([torch.bfloat16, torch.float16, torch.float32]),
    seed=st.integers(0, 2**16),
)
def test_any_change(numbers: int, share: float, dtype: torch.dtype, seed: int) -> None:
    """Any size, share and dtype: rising distinct indices of exactly what changed."""
    source = torch.Generator().manual_seed(seed)
    before = torch.randn(numbers, generator=source).to(dtype)
    moved = torch.rand(numbers, generator=source) < share
    after = torch.where(moved, before + 1, before)
    indices, values = changed(after, before)
    wanted = [i for i, (a, b) in enumerate(zip(after, before, strict=True)) if a != b]
    assert indices.tolist() == wanted
    assert torch.equal(values, after[wanted] if wanted else after[:0])
    assert (digest(after) == digest(before)) == (not wanted)


def test_digest_knows_places() -> None:
    """The same numbers in another order, or at another length, have another digest."""
    weight = torch.arange(10).bfloat16()
    others = [weight.flip(0), weight[:9], torch.cat([weight, torch.zeros(1).bfloat16()])]
    assert len({digest(each) for each in [weight, *others]}) == 4
    assert digest(weight) == by_hand(weight.view(torch.int16).tolist())


def by_hand(numbers: list[int]) -> int:
    """The digest in whole Python integers."""
    total = len(numbers)
    for place, bits in enumerate(numbers):
        x = place << 32 | bits & 0xFFFFFFFF
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            x = (x ^ x >> 33) * factor % 2**64
        total += x ^ x >> 33
    return total % 2**64


@pytest.mark.skipif(INTERPRETED, reason="vLLM imports Triton kernels that must not be interpreted")
@pytest.mark.vllm
def test_vllm_takes_it() -> None:
    """vLLM 0.32's own checks and loader take the patches and come to the trainer's bytes."""
    engine = pytest.importorskip("vllm.distributed.weight_transfer.sparse_nccl_engine")
    loader = pytest.importorskip("vllm.model_executor.model_loader.checkpoint_weight_patch")

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.held = weights()

        def load_weights(self, given_to: list[tuple[str, Tensor]]) -> set[str]:
            for name, weight in given_to:
                self.held[name].copy_(weight)
            return {name for name, _ in given_to}

    model, trained = Model(), stepped(weights(), 1, 1e-3)
    patches = WeightSnapshot(weights()).changes(trained)
    for patch in patches:
        engine.SparseNCCLTrainerWeightTransferEngine._validate_patch(patch)
    info = engine.SparseNCCLWeightTransferUpdateInfo(**update_info(patches))
    assert json.loads(json.dumps(update_info(patches)))["names"] == info.names
    loader.load_checkpoint_weight_patches(
        model,
        [
            loader.CheckpointWeightPatch(
                name=name,
                shape=tuple(shape),
                dtype=getattr(torch, dtype),
                values=patch.values,
                indices=patch.indices,
            )
            for name, dtype, shape, patch in zip(
                info.names, info.dtype_names, info.shapes, patches, strict=True
            )
        ],
    )
    assert same_bytes(model.held, trained)
