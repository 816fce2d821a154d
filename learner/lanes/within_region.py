"""Within region: what keeps a lane's batch from moving the policy further than the ratio lane's could.

As the masks of `train/loss.py`, but against the policy before the batch: the lanes have no other ratio.
Legend: M completion tokens of a pack.
"""

import torch
from torch import Tensor

from ..trust_region import TrustRegion


def within_region(
    logp_M: Tensor, before_M: Tensor, raised_M: Tensor, region: TrustRegion
) -> tuple[Tensor, float]:
    """Return the log-probabilities, those tokens without gradient that have moved far enough, and how many.

    `raised_M` says which tokens are pulled up. Masks of whole answers (`gspo`) hold no token here.
    """
    if region.sequence_ratio:
        return logp_M, 0.0
    ratio_M = (logp_M.detach() - before_M).exp()
    far_M = torch.zeros_like(raised_M)
    if region.mask_above:
        far_M |= raised_M & (ratio_M > 1.0 + region.mask_above)
    if region.mask_below:
        far_M |= ~raised_M & (ratio_M < 1.0 - region.mask_below)
    return torch.where(far_M, logp_M.detach(), logp_M), float(far_M.sum())
