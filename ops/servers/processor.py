"""Processor: in which precision this machine's own cores compute fast."""

import functools
from pathlib import Path
from typing import Literal

CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Flags of processors with instructions for it: x86's two, and ARM's."""


@functools.cache
def has_bfloat16(told_by: Path = CPU_INFO) -> bool:
    """Return whether the cores have instructions for products in bfloat16.

    Those without emulate them, at an eighth or less of their speed in float32: 8.5 or, by the layout of the
    second matrix, 1.2 GFLOP/s against 69 (one core of an AMD EPYC with AVX2 alone, a product of 512 by 576 by 1536
    in torch 2.13, 2026-11-26). Not known, and so not, where the kernel tells no flags.
    """
    try:
        told = told_by.read_text()
    except OSError:
        return False
    named = (line.split(":", 1)[-1] for line in told.splitlines() if line[:5] in ("flags", "Featu"))
    return not BFLOAT16.isdisjoint(" ".join(named).split())


def fast_dtype() -> Literal["float32", "bfloat16"]:
    """Return the precision in which a model is to be held on these cores."""
    return "bfloat16" if has_bfloat16() else "float32"
