"""Choice: which kernels run tensors of a device and dtype; `RLWD_KERNELS` may say otherwise."""

import importlib.util
import os
from functools import cache

import torch

CHOICES = ("auto", "triton", "reference", "interpret")


def chosen_kernels(device: torch.device, dtype: torch.dtype) -> str:
    """Return which kernels run tensors of this device and dtype: triton, interpret or reference.

    `RLWD_KERNELS` is one of `CHOICES`, `auto` if unset: Triton for bfloat16 and float32 on CUDA, else
    the reference (float16 would lose a gradient's many small entries). `interpret` runs the Triton
    kernels on a CPU, slowly, for tests, and wants TRITON_INTERPRET=1 set before the process starts.
    ValueError where it asks for what is not.
    """
    asked = os.environ.get("RLWD_KERNELS") or "auto"
    if asked not in CHOICES:
        raise ValueError(f"RLWD_KERNELS: {asked!r} is not one of {', '.join(CHOICES)}")
    if asked == "auto":
        low = dtype in (torch.bfloat16, torch.float32)
        return "triton" if device.type == "cuda" and low and _has_triton() else "reference"
    if asked == "triton" and device.type != "cuda":
        raise ValueError(f"RLWD_KERNELS: triton needs a CUDA device, not {device}")
    if asked == "triton" and not _has_triton():
        raise ValueError("RLWD_KERNELS: triton is not installed")
    if asked == "interpret":
        if os.environ.get("TRITON_INTERPRET") != "1":
            raise ValueError("RLWD_KERNELS: interpret needs TRITON_INTERPRET=1 from the start")
        # The interpreter computes on a bfloat16's bits as if they were an integer.
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"RLWD_KERNELS: interpret is silently wrong for {dtype}")
    return asked


@cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None
