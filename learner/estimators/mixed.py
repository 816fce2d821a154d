"""Mixed model: one batch's regression of the reward on prompts' features and on the levels of segments.

Features have their evidence from before in `RidgeSums`, strata theirs in `SegmentCounts` of what the
features left over. Legend: N episodes, K features, L levels, P = K + L.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import torch
from torch import Tensor

from ..sealed import SealedEpisode
from ..settings import LearnerSettings
from .levels import Known, Levels
from .ridge import Fit, RidgeSums, fit
from .segment_counts import SegmentCounts, segment_of
from .sessions import sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedModel:
    """A batch's rows, and what is known from before; both in the features' common scale."""

    features_NK: Tensor
    """Mean 0 and spread 1 over evidence and batch."""
    levels_NL: Tensor
    """Whose each row is."""
    rewards_N: Tensor
    """Without the confound."""
    weights_N: Tensor
    """Of the episodes."""
    gram_KK: Tensor
    """Evidence from before on the features."""
    cross_K: Tensor
    """Likewise, with the rewards."""
    precision_LL: Tensor
    """Evidence from before on the levels, and their pull to 0."""
    information_L: Tensor
    """Likewise, with the rewards."""
    together: list[list[int]]
    """Rows of one session, which are no evidence for each other."""

    def fit(self, strength: float) -> Fit:
        """Fit with a ridge of so many episodes on each feature; infinite leaves the features out."""
        if math.isinf(strength) or not self.features_NK.shape[1]:
            design_NP, precision_PP = self.levels_NL, self.precision_LL
            information_P = self.information_L
        else:
            design_NP = torch.cat([self.features_NK, self.levels_NL], dim=1)
            ridge_KK = self.gram_KK + strength * torch.eye(len(self.gram_KK), dtype=torch.float64)
            precision_PP = _blocks(ridge_KK, self.precision_LL)
            information_P = torch.cat([self.cross_K, self.information_L])
        ours = (design_NP, self.rewards_N, self.weights_N)
        return fit(*ours, precision_PP, information_P, self.together)

    def parts(self, found: Fit) -> tuple[Tensor, Tensor]:
        """Return what features and what levels say of each row, [N] each."""
        levels = self.levels_NL.shape[1]
        ours_K = found.coefficients_P[:-levels]
        by_features_N = (
            self.features_NK @ ours_K if len(ours_K) else torch.zeros_like(self.rewards_N)
        )
        return by_features_N, self.levels_NL @ found.coefficients_P[-levels:]


def mixed_model(
    episodes: Sequence[SealedEpisode],
    states_NK: Tensor,
    usable_N: Tensor,
    moments: RidgeSums,
    offsets: Mapping[str, SegmentCounts],
    settings: LearnerSettings,
) -> MixedModel:
    """Set up a batch's regression; an episode whose state is not usable has the mean's features."""
    strata = [episode.stratum for episode in episodes]
    rewards_N = torch.tensor([e.earned for e in episodes], dtype=torch.float64)
    weights_N = torch.tensor([e.weight for e in episodes], dtype=torch.float64)
    seen_N = weights_N * usable_N
    mean_K, inverse_K = moments.plus(states_NK, rewards_N, seen_N).centre()
    gram_KK, cross_K = moments.standardised(mean_K, inverse_K)
    levels = Levels({episode.stratum: episode.segment for episode in episodes})
    precision_LL, information_L = levels.evidence(
        _known(offsets, {*strata}, settings), settings.parent_count
    )
    return MixedModel(
        features_NK=(states_NK - mean_K) * inverse_K * usable_N[:, None],
        levels_NL=levels.rows(strata),
        rewards_N=rewards_N,
        weights_N=weights_N,
        gram_KK=gram_KK,
        cross_K=cross_K,
        precision_LL=precision_LL + levels.precision(settings.parent_count).diag(),
        information_L=information_L,
        together=sessions(episodes, range(len(episodes))),
    )


def _known(
    offsets: Mapping[str, SegmentCounts], present: AbstractSet[str], settings: LearnerSettings
) -> Iterator[Known]:
    # In order however they were written and read again: sums to the bit.
    for stratum, counts in sorted(offsets.items()):
        kept = counts.rho(settings) if stratum in present else counts.freshness(settings)
        yield stratum, segment_of(stratum, counts), kept * counts.count, kept * counts.alpha


def _blocks(one: Tensor, other: Tensor) -> Tensor:
    size = len(one) + len(other)
    found = one.new_zeros(size, size)
    found[: len(one), : len(one)], found[len(one) :, len(one) :] = one, other
    return found
