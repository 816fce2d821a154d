"""delta_kernel: changed numbers to (int32 index, value) in two passes; the way back; the digest.

The first pass counts the changed numbers of each block, a running sum says where a block's go, the
second writes them, rising. Reads each weight twice: 8 bytes a bfloat16 number, and no host memory.
Integers only, so that the interpreter is right too. No atomics. Equal to the plain PyTorch of
`delta`: `nonzero` of the comparison, an indexed assignment, and `mixed`.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 4096
WARPS = 8


@triton.jit
def count_rows(new_ptr, old_ptr, counts_ptr, numbers, BLOCK: tl.constexpr):
    """Count the changed numbers of one block a program."""
    block = tl.program_id(0)
    places = block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = places < numbers
    new = tl.load(new_ptr + places, mask=inside, other=0)
    old = tl.load(old_ptr + places, mask=inside, other=0)
    tl.store(counts_ptr + block, tl.sum((new != old).to(tl.int32), 0))


@triton.jit
def write_rows(
    new_ptr, old_ptr, ends_ptr, counts_ptr, indices_ptr, values_ptr, numbers, BLOCK: tl.constexpr
):
    """Write index and value of one block's changed numbers a program."""
    block = tl.program_id(0)
    count = tl.load(counts_ptr + block)
    if count > 0:
        places = block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = places < numbers
        new = tl.load(new_ptr + places, mask=inside, other=0)
        old = tl.load(old_ptr + places, mask=inside, other=0)
        moved = (new != old).to(tl.int32)
        out = tl.load(ends_ptr + block) - count + tl.cumsum(moved, 0) - moved
        tl.store(indices_ptr + out, places.to(tl.int32), mask=moved != 0)
        tl.store(values_ptr + out, new, mask=moved != 0)


@triton.jit
def scatter_rows(weight_ptr, indices_ptr, values_ptr, count, BLOCK: tl.constexpr):
    """Write one block of a patch a program."""
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = places < count
    at = tl.load(indices_ptr + places, mask=inside, other=0).to(tl.int64)
    tl.store(weight_ptr + at, tl.load(values_ptr + places, mask=inside, other=0), mask=inside)


@triton.jit
def digest_rows(
    bits_ptr, sums_ptr, numbers, FIRST: tl.constexpr, SECOND: tl.constexpr, BLOCK: tl.constexpr
):
    """Sum of `delta.mixed` over one block a program."""
    block = tl.program_id(0)
    places = block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = places < numbers
    bits = tl.load(bits_ptr + places, mask=inside, other=0).to(tl.int64)
    x = (places << 32) ^ (bits & 0xFFFFFFFF)
    x = (x ^ ((x >> 33) & 0x7FFFFFFF)) * FIRST
    x = (x ^ ((x >> 33) & 0x7FFFFFFF)) * SECOND
    x = x ^ ((x >> 33) & 0x7FFFFFFF)
    tl.store(sums_ptr + block, tl.sum(tl.where(inside, x, 0), 0))


def scatter(weight: Tensor, indices: Tensor, values: Tensor) -> None:
    """Write values into a flat array at distinct indices."""
    if len(indices):
        grid = (triton.cdiv(len(indices), BLOCK),)
        scatter_rows[grid](weight, indices, values, len(indices), BLOCK=BLOCK, num_warps=WARPS)


def digest(bits: Tensor, factors: tuple[int, int]) -> int:
    """Return the sum of `delta.mixed` over a flat array, modulo 2**64."""
    sums = torch.zeros(triton.cdiv(len(bits), BLOCK), dtype=torch.int64, device=bits.device)
    if len(bits):
        digest_rows[(len(sums),)](
            bits, sums, len(bits), FIRST=factors[0], SECOND=factors[1], BLOCK=BLOCK, num_warps=WARPS
        )
    return int(sums.sum())


def compact(new: Tensor, old: Tensor) -> tuple[Tensor, Tensor]:
    """Return flat indices [K] int32, rising, and the new bits [K] where two flat arrays differ."""
    blocks = triton.cdiv(len(new), BLOCK)
    counts = torch.zeros(blocks, dtype=torch.int32, device=new.device)
    if blocks:
        count_rows[(blocks,)](new, old, counts, len(new), BLOCK=BLOCK, num_warps=WARPS)
    ends = counts.cumsum(0, dtype=torch.int64)
    total = int(ends[-1]) if blocks else 0
    indices = torch.empty(total, dtype=torch.int32, device=new.device)
    values = torch.empty(total, dtype=new.dtype, device=new.device)
    if total:
        write_rows[(blocks,)](
            new, old, ends, counts, indices, values, len(new), BLOCK=BLOCK, num_warps=WARPS
        )
    return indices, values
