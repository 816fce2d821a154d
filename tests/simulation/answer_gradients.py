"""Answer gradients: each answer's own gradient of its log-probability in the adapter, and what they share.

Legend: N answers.
"""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from rlwd.learner.sealed import SealedEpisode
from rlwd.learner.train.packing import pack
from rlwd.learner.train.state import Learner


def gradient_of(learner: Learner, episode: SealedEpisode) -> list[Tensor]:
    """Return an answer's gradient, by parameter; none of a parameter that has none yet."""
    learner.optimizer.zero_grad()
    alone = pack([episode], tokens=8, device=learner.policy.device)
    learner.head(alone).logp.sum().backward()  # type: ignore[no-untyped-call]
    return [p.grad for p in learner.policy.trainable().values() if p.grad is not None]


def norm_squared(learner: Learner, episode: SealedEpisode) -> float:
    """Return the square of an answer's gradient."""
    return sum(float(each.square().sum()) for each in gradient_of(learner, episode))


def products(learner: Learner, episodes: Sequence[SealedEpisode]) -> Tensor:
    """Return the product [N, N] of each answer's gradient with each other's.

    The gradients are kept as bfloat16, which rounds a product of one with itself by some 1e-4.
    """
    kept: list[list[Tensor]] = []
    for episode in episodes:
        kept.append([each.flatten().bfloat16() for each in gradient_of(learner, episode)])
    found_NN = torch.zeros(len(kept), len(kept), dtype=torch.float64)
    for parts in zip(*kept, strict=True):
        rows_NP = torch.stack(parts).float()
        found_NN += (rows_NP @ rows_NP.T).double()
    learner.optimizer.zero_grad()
    return found_NN


def cosine(products_NN: Tensor, ours_N: Tensor, theirs_N: Tensor) -> float:
    """Return the cosine of two sums of answers' gradients, each weighed by its own numbers; 0 of none."""
    ours, theirs = ours_N @ products_NN @ ours_N, theirs_N @ products_NN @ theirs_N
    size = float((ours * theirs).clamp_min(0.0).sqrt())
    return float(ours_N @ products_NN @ theirs_N) / size if size else 0.0


def agreement_of_halves(products_NN: Tensor, weights_N: Tensor, *, draws: int = 200) -> float:
    """Return how far a batch's gradient is the same in its two halves: the mean cosine of random ones.

    It is 0 where each answer's gradient is noise of its own, and 1 where all say the same.
    """
    draw, count = random.Random(0), len(weights_N)
    found = list[float]()
    for _ in range(draws):
        half_N = torch.zeros(count, dtype=torch.float64)
        half_N[draw.sample(range(count), count // 2)] = 1.0
        found.append(cosine(products_NN, weights_N * half_N, weights_N * (1.0 - half_N)))
    return sum(found) / len(found)
