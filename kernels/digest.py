"""Digest: 64 bits that tell weights apart, brought up to date from the changed numbers alone."""

import torch
from torch import Tensor

from .choice import chosen_kernels

BITS = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}
# Numbers hashed at a time: 64-bit words of 8 MiB.
CHUNK = 2**20
FACTORS = (-49064778989728563, -4265267296055464877)


def digest(weight: Tensor) -> int:
    """Return 64 bits that tell weights apart: a sum over numbers of a mix of place and bits.

    A sum can be brought up to date from the changed numbers alone, and its order does not matter.
    It finds mistakes and damage; it is no defence against a forger.
    """
    flat = bits_of(weight)
    if is_plain(flat):
        return _unsigned(_summed(flat) + len(flat))
    from .delta_kernel import digest as summed

    return _unsigned(summed(flat, FACTORS) + len(flat))


def mixed(places: Tensor, bits: Tensor) -> Tensor:
    """Scatter (place, bits) over 64 bits: the finisher of MurmurHash3, products wrapping around."""
    x = (places << 32) ^ (bits.to(torch.int64) & 0xFFFFFFFF)
    for factor in FACTORS:
        x = (x ^ ((x >> 33) & 0x7FFFFFFF)) * factor
    return x ^ ((x >> 33) & 0x7FFFFFFF)


def _summed(flat: Tensor) -> int:
    total = torch.zeros((), dtype=torch.int64, device=flat.device)
    for start in range(0, len(flat), CHUNK):
        part = flat[start : start + CHUNK]
        total += mixed(torch.arange(start, start + len(part), device=flat.device), part).sum()
    return int(total)


def moved_digest(base: int, old: Tensor, indices: Tensor, values: Tensor) -> int:
    """Return the digest once `values` stand at `indices`."""
    places = indices.to(torch.int64)
    was = mixed(places, bits_of(old)[places]).sum()
    return _unsigned(base + int(mixed(places, bits_of(values)).sum() - was))


def bits_of(weight: Tensor) -> Tensor:
    """Return the weight flat, as integers of its width."""
    return weight.detach().reshape(-1).view(BITS[weight.dtype])


def is_plain(flat: Tensor) -> bool:
    """Return whether plain PyTorch works on these bits, here and now."""
    # They are integers: what the interpreter gets wrong of bfloat16 does not arise.
    return chosen_kernels(flat.device, torch.float32) == "reference"


def _unsigned(value: int) -> int:
    return value % 2**64
