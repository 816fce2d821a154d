"""Reference: what the anchor says of a lane's episodes; it never changes, so that it is asked once.

Legend: D hidden width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.dispatch import logp_head
from ..sealed import SealedEpisode
from ..train.packing import completion_lengths
from ..train.state import Learner


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceScores:
    """One entry for each episode."""

    logp: list[Tensor]
    """[tokens] the anchor's log-probabilities."""
    states: list[Tensor]
    """[tokens, D] the anchor's hidden states."""
    kl: list[float]
    """KL(policy to anchor), summed over the tokens, when it was asked."""
    policy: list[Tensor]
    """[tokens] the policy's own log-probabilities, when it was asked."""


@torch.no_grad()
def score_reference(learner: Learner, episodes: Sequence[SealedEpisode]) -> ReferenceScores:
    """Score episodes under the anchor, and say how far the policy is from it."""
    logp, states, own, apart = ([torch.empty(0)] * len(episodes) for _ in range(4))
    for share in learner.packs(episodes):
        indices, packed, _ = share
        with learner.policy.as_anchor():
            anchor_MD = learner.hidden(packed)
        policy = learner.policy
        anchor_head_VD = policy.head_VD if policy.anchor_head_VD is None else policy.anchor_head_VD
        asked = (anchor_head_VD, packed.targets_M, packed.temperature_M)
        logp_M = logp_head(anchor_MD, None, *asked).logp
        now = learner.head(packed, anchor_MD=anchor_MD)
        for place, index in enumerate(indices):
            logp[index], states[index] = share.of(logp_M, place), share.of(anchor_MD, place)
            own[index], apart[index] = share.of(now.logp, place), share.of(now.kl, place)
    ranks, lengths = learner.ranks, completion_lengths(episodes)
    return ReferenceScores(
        logp=ranks.spread(logp, lengths),
        states=ranks.spread(states, lengths),
        kl=[float(kl.sum()) for kl in ranks.spread(apart, lengths)],
        policy=ranks.spread(own, lengths),
    )
