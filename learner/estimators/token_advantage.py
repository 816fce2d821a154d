"""Token advantage: what the loss sees of each completion token."""

import torch
from torch import Tensor

from ..sealed import SealedEpisode


def token_advantages(episode: SealedEpisode, advantage: float, unit: float) -> Tensor:
    """Return the episode's advantage for each of its n tokens, plus what the token's credit says.

    `unit` is the advantage that a reward of 1 more is, times the setting `token_credit`. The credit
    sums to zero over the answer, so the mean over its tokens stays the episode's advantage.

    Shape: n.
    """
    whole = torch.full((len(episode.completion_token_ids),), advantage)
    return whole + unit * torch.tensor(episode.credit) if episode.credit else whole
