"""Npy experts: the routed experts of an answer, out of an engine's array in NumPy's format."""

import base64
import binascii
import io
from typing import Any

from ...streams.routed_experts import MOST_BYTES, RoutedExperts


def read_routed_experts(told: Any) -> RoutedExperts:
    """Read what vLLM puts into a choice's `routed_experts`: base64 of an .npy [tokens - 1, layers, k].

    Raises ValueError naming what is wrong with it; nothing is unpickled.
    """
    # Only answers of mixtures need it, and importing it takes longer than a gateway's start may.
    import numpy as np

    if not isinstance(told, str):
        raise ValueError("routed_experts: is no text")
    if len(told) > 4 * MOST_BYTES // 3 + 1024:
        raise ValueError(f"routed_experts: is over {MOST_BYTES} bytes")
    try:
        found = np.load(io.BytesIO(base64.b64decode(told, validate=True)), allow_pickle=False)
    except (binascii.Error, ValueError, EOFError, OSError) as problem:
        raise ValueError("routed_experts: is no array in base64") from problem
    if not isinstance(found, np.ndarray) or found.ndim != 3 or 0 in found.shape:
        raise ValueError("routed_experts: is no array [tokens, layers, k]")
    if found.dtype.kind not in "iu" or int(found.min()) < 0 or int(found.max()) > 0xFFFF:
        raise ValueError("routed_experts: has other numbers than experts'")
    wide = found.dtype.itemsize > 1
    packed = np.ascontiguousarray(found, dtype="<u2" if wide else "u1")
    _, layers, k = found.shape
    return RoutedExperts(layers=layers, k=k, wide=wide, experts=packed.tobytes())
