"""Gradients: of weights that are divided among the ranks, and of those that are whole in each."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

from .group import Ranks
from .shards import number


def sum_whole_gradients(parameters: Sequence[Tensor], ranks: Ranks) -> None:
    """Add up over the ranks the gradients of weights that each has whole; the others come as sums."""
    if ranks.size == 1:
        return
    for parameter in parameters:
        if not isinstance(parameter, DTensor):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)


def clipped(parameters: Sequence[Tensor], most: float) -> float:
    """Shorten the gradients to a length of `most` (L2, over all) and return what it was."""
    kinds = {isinstance(parameter, DTensor) for parameter in parameters}
    if len(kinds) < 2:
        return number(torch.nn.utils.clip_grad_norm_(parameters, most))
    # Parts of divided ones and whole ones do not go into one call.
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    length = math.sqrt(math.fsum(number(gradient.square().sum()) for gradient in gradients))
    if length > most:
        for gradient in gradients:
            gradient.mul_(most / length)
    return length
