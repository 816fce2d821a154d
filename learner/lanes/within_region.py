"""Within region: what keeps a lane's batch from moving the policy further than the ratio lane's could.

As the masks of `train/loss.py`, but against the policy before the batch: the lanes have no other ratio.
Legend: M completion tokens of a pack.
"""

import torch
from torch import Tensor

from ...kernels.dispatch import log_ratios
from ..trust_region import TrustRegion


def within_region(
    logp_M: Tensor, before_M: Tensor, raised_M: Tensor, region: TrustRegion
) -> tuple[Tensor, float]:
    """Return the log-probabilities, those tokens without gradient that have moved far enough, and how many.

    `raised_M` says which tokens are pulled up. Far enough is beyond a mask or an end of a band on the side
    that the token is pulled to. Masks of whole answers (`gspo`) hold no token here.
    """
    if region.sequence_ratio:
        return logp_M, 0.0
    now_M = logp_M.detach()
    ratio_M, moved_M = log_ratios(now_M, before_M).exp(), now_M.exp() - before_M.exp()
    far_M = torch.zeros_like(raised_M)
    for most in (region.mask_above and 1.0 + region.mask_above, region.band_high):
        if most:
            far_M |= raised_M & (ratio_M > most)
    for least in (region.mask_below and 1.0 - region.mask_below, region.band_low):
        if least:
            far_M |= ~raised_M & (ratio_M < least)
    if region.probability_mask:
        far_M |= torch.where(raised_M, moved_M, -moved_M) > region.probability_mask
    return torch.where(far_M, now_M, logp_M), float(far_M.sum())
