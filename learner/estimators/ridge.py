"""Ridge: sums of a ridge regression that fade, and its predictions that leave each target out.

Legend: N rows, K features, P columns of a design.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST = 1e-6
"""A feature whose spread is below this share of the largest says nothing; and a row to which
everything else says less than this is not predicted."""


@dataclass(slots=True)
class RidgeSums:
    """Faded sums over rows (x, y) that each have a weight."""

    count: float
    """Of the weights."""
    target: float
    """Of y."""
    states_K: Tensor
    """Of x."""
    cross_K: Tensor
    """Of x y."""
    gram_KK: Tensor
    """Of x x^T."""

    @classmethod
    def empty(cls, features: int) -> "RidgeSums":
        """Nothing seen yet."""
        zero_K = torch.zeros(features, dtype=torch.float64)
        return cls(0.0, 0.0, zero_K, zero_K.clone(), zero_K.new_zeros(features, features))

    def plus(self, states_NK: Tensor, targets_N: Tensor, weights_N: Tensor) -> "RidgeSums":
        """Return the sums with more rows."""
        weighed_NK = weights_N[:, None] * states_NK
        return RidgeSums(
            self.count + float(weights_N.sum()),
            self.target + float((weights_N * targets_N).sum()),
            self.states_K + weighed_NK.sum(0),
            self.cross_K + weighed_NK.T @ targets_N,
            self.gram_KK + weighed_NK.T @ states_NK,
        )

    def faded(self, share: float) -> "RidgeSums":
        """Return the sums as if each row had only a share of its weight."""
        return RidgeSums(
            share * self.count,
            share * self.target,
            share * self.states_K,
            share * self.cross_K,
            share * self.gram_KK,
        )

    def centre(self) -> tuple[Tensor, Tensor]:
        """Return mean [K] and inverse spread [K] of the features; the spread's is 0 where there is none."""
        if self.count <= 0.0:
            return torch.zeros_like(self.states_K), torch.zeros_like(self.states_K)
        mean_K = self.states_K / self.count
        spread_K = (self.gram_KK.diagonal() / self.count - mean_K**2).clamp_min(0.0).sqrt()
        plain_K = spread_K <= SMALLEST * (spread_K.max() + mean_K.abs().max())
        return mean_K, torch.where(plain_K, 0.0, 1.0 / spread_K.clamp_min(1e-300))

    def standardised(self, mean_K: Tensor, inverse_K: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums [K, K] and [K] of z z^T and z y for z = (x - mean) / spread."""
        outer_KK = torch.outer(mean_K, self.states_K)
        gram_KK = self.gram_KK - outer_KK - outer_KK.T
        gram_KK = gram_KK + self.count * torch.outer(mean_K, mean_K)
        cross_K = self.cross_K - self.target * mean_K
        return gram_KK * torch.outer(inverse_K, inverse_K), cross_K * inverse_K


@dataclass(frozen=True, slots=True)
class Fit:
    """A ridge regression on all rows."""

    coefficients_P: Tensor
    left_out_N: Tensor
    """What the other rows and the evidence from before predict for each row; NaN where they say nothing."""


def fit(
    design_NP: Tensor,
    targets_N: Tensor,
    weights_N: Tensor,
    precision_PP: Tensor,
    information_P: Tensor,
    together: Sequence[Sequence[int]] = (),
) -> Fit:
    """Minimise sum_n w_n (y_n - x_n b)^2 + b^T precision b - 2 b^T information.

    A row's prediction without itself is (its fit - h y) / (1 - h), h = w x^T M^-1 x being its
    leverage: exact, so that y itself drops out. Rows `together` are left out of each other's, too:
    y - (I - H)^-1 (y - their fit), H = X M^-1 X^T diag(w).
    """
    weighed_NP = weights_N[:, None] * design_NP
    factor_PP = torch.linalg.cholesky(precision_PP + weighed_NP.T @ design_NP)
    right_P1 = (information_P + weighed_NP.T @ targets_N)[:, None]
    coefficients_P = torch.cholesky_solve(right_P1, factor_PP)[:, 0]
    solved_NP = torch.cholesky_solve(design_NP.T, factor_PP).T
    leverage_N = (weighed_NP * solved_NP).sum(1)
    rest_N, fitted_N = 1.0 - leverage_N, design_NP @ coefficients_P
    left_out_N = (fitted_N - leverage_N * targets_N) / rest_N
    left_out_N = torch.where(rest_N > SMALLEST, left_out_N, torch.nan)
    for rows in together:
        ours = torch.tensor(rows)
        root_G = weights_N[ours].sqrt()
        leverage_GG = design_NP[ours] @ solved_NP[ours].T * torch.outer(root_G, root_G)
        rest_GG = torch.eye(len(rows), dtype=leverage_GG.dtype) - leverage_GG
        off_G = root_G * (targets_N - fitted_N)[ours]
        known = float(torch.linalg.eigvalsh(rest_GG)[0]) > SMALLEST and bool((root_G > 0.0).all())
        left_out_N[ours] = (
            targets_N[ours] - torch.linalg.solve(rest_GG, off_G) / root_G if known else torch.nan
        )
    return Fit(coefficients_P, left_out_N)
