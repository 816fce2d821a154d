"""Npy experts: the routed experts of an answer, out of an engine's array in NumPy's format."""

import base64
import binascii
import re
from math import prod
from typing import Any

from ...streams.routed_experts import MOST_BYTES, MOST_K, MOST_LAYERS, RoutedExperts

# What numpy.save writes of an array of whole numbers with three dimensions. numpy.load takes zip files,
# pickles and headers that are Python, too, and memory for as many numbers as a header claims.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"\{'descr': '(?P<dtype>[<>|][iu][1248])', 'fortran_order': (?P<fortran>True|False),"
    rb" 'shape': \((?P<shape>\d{1,9}, \d{1,9}, \d{1,9})\), \} *\n",
    re.DOTALL,
)
_LENGTH_END = 10
"""Bytes of an .npy file before its header's text."""


def read_routed_experts(told: Any) -> RoutedExperts:
    """Read what vLLM puts into a choice's `routed_experts`: base64 of an .npy [tokens - 1, layers, k].

    Raises ValueError naming what is wrong with it, whatever it is. Format 1.0 of
    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
    """
    # Only answers of mixtures need it, and importing it takes longer than a gateway's start may.
    import numpy as np

    if not isinstance(told, str):
        raise ValueError("routed_experts: is no text")
    if len(told) > 4 * MOST_BYTES // 3 + 1024:
        raise ValueError(f"routed_experts: is over {MOST_BYTES} bytes")
    try:
        raw = base64.b64decode(told, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise ValueError("routed_experts: is no array in base64") from problem
    header = _HEADER.match(raw)
    if header is None or header.end() != _LENGTH_END + int.from_bytes(header["length"], "little"):
        raise ValueError("routed_experts: is no array [tokens, layers, k] of whole numbers")
    shape = tuple(int(one) for one in header["shape"].split(b", "))
    dtype = np.dtype(header["dtype"].decode())
    if 0 in shape or len(raw) - header.end() != prod(shape) * dtype.itemsize:
        raise ValueError("routed_experts: is no whole array [tokens, layers, k]")
    _, layers, k = shape
    if layers > MOST_LAYERS or k > MOST_K:
        raise ValueError(
            f"routed_experts: {layers} layers of {k} experts, more than {MOST_LAYERS} of {MOST_K}"
        )
    found = np.frombuffer(raw, dtype, offset=header.end())
    fortran = header["fortran"] == b"True"
    found = found.reshape(shape, order="F") if fortran else found.reshape(shape)
    if int(found.min()) < 0 or int(found.max()) > 0xFFFF:
        raise ValueError("routed_experts: has other numbers than experts'")
    wide = dtype.itemsize > 1
    if found.size * (1 + wide) > MOST_BYTES:
        raise ValueError(f"routed_experts: is over {MOST_BYTES} bytes")
    packed = np.ascontiguousarray(found, dtype="<u2" if wide else "u1")
    return RoutedExperts(layers=layers, k=k, wide=wide, experts=packed.tobytes())
