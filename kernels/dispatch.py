"""Dispatch: the one door to the kernels; the learner calls nothing behind it."""

import os
from collections.abc import Callable

from torch import Tensor

from . import reference
from .reference import HeadOutputs

__all__ = ["HeadOutputs", "logp_head"]

Head = Callable[[Tensor, Tensor | None, Tensor, Tensor, Tensor], HeadOutputs]

# A faster one is added here, and to `_fastest` for the devices and dtypes it was measured on.
IMPLEMENTATIONS: dict[str, Head] = {"reference": reference.logp_head}


def logp_head(
    hidden_MD: Tensor,
    anchor_MD: Tensor | None,
    weight_VD: Tensor,
    targets_M: Tensor,
    temperature_M: Tensor,
) -> HeadOutputs:
    """Log-probability, normaliser, entropy and KL to the anchor of each target token.

    `hidden_MD` [M, D] are the final hidden states that predict `targets_M` [M]; `anchor_MD` are the
    anchor's, or None; `weight_VD` [V, D] is the frozen head; `temperature_M` [M] is above 0. Outputs
    are [M] and float32; gradients flow to `hidden_MD` alone. `RLWD_KERNELS` names an implementation
    in place of the fastest one for the device; ValueError where there is none of that name.
    """
    return _chosen(hidden_MD)(hidden_MD, anchor_MD, weight_VD, targets_M, temperature_M)


def _chosen(hidden_MD: Tensor) -> Head:
    name = os.environ.get("RLWD_KERNELS") or _fastest(hidden_MD)
    if name not in IMPLEMENTATIONS:
        raise ValueError(f"RLWD_KERNELS: {name!r} is not one of {', '.join(IMPLEMENTATIONS)}")
    return IMPLEMENTATIONS[name]


def _fastest(hidden_MD: Tensor) -> str:
    return "reference"
