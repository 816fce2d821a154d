"""Projection: pooled states in few numbers, the same ones for ever.

Legend: N episodes, D width of the states, K features.
"""

import functools
import random

import torch
from torch import Tensor


def projected(states_ND: Tensor, features: int) -> Tensor:
    """Return the states as [N, K] float64, K = min(D, features).

    Random signs over sqrt(K) keep distances on average (Achlioptas 2003). They are drawn by Python's
    generator, which gives the same ones in every version, so that no checkpoint holds them.
    """
    states_ND = states_ND.double().cpu()
    width = states_ND.shape[1]
    return states_ND if width <= features else states_ND @ _signs(width, features)


@functools.lru_cache(maxsize=2)
def _signs(width: int, features: int) -> Tensor:
    count = width * features
    drawn = random.Random(f"projection/{width}/{features}").randbytes(-(-count // 8))
    octets = torch.frombuffer(bytearray(drawn), dtype=torch.uint8)
    bits = (octets[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
    signs = bits.flatten()[:count].double() * 2.0 - 1.0
    scaled: Tensor = signs.reshape(width, features) / features**0.5
    return scaled
