"""Score: log-probabilities of episodes under the present weights and the anchor; no gradients.

Legend: M completion tokens of a pack, D hidden width.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.dispatch import log_ratios
from ..sealed import SealedEpisode
from .loss import means, ratio_sums
from .state import Learner


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Log-probabilities under the present weights, one entry for each episode."""

    logp: list[Tensor]
    """[tokens] log-probabilities at the episode's temperature."""
    anchor: list[Tensor]
    """[tokens, D] the anchor's hidden states; empty where the KL has no weight."""
    metrics: dict[str, float]
    """Means over tokens."""


def score(
    learner: Learner,
    episodes: Sequence[SealedEpisode],
    *,
    anchor: bool = False,
    anchors: Sequence[Tensor] = (),
) -> Scores:
    """Score episodes under the present weights, without gradients.

    With `anchor` the anchor's states are computed, or taken from `anchors` where given: it never
    changes, so the passes over a batch need them once. They stay in memory, D numbers a token.
    """
    logp = [torch.empty(0)] * len(episodes)
    kept_anchor = list(anchors) or [torch.empty(0)] * (len(episodes) if anchor else 0)
    totals: dict[str, float] = defaultdict(float)
    for indices, packed in learner.packs(episodes):
        anchor_MD = None
        if anchor and not anchors:
            with learner.policy.as_anchor():
                anchor_MD = learner.hidden(packed)
            for place, index in enumerate(indices):
                kept_anchor[index] = anchor_MD[packed.segments_M == place]
        elif anchor:
            anchor_MD = torch.cat([kept_anchor[index] for index in indices])
        with torch.no_grad():
            head = learner.head(packed, anchor_MD=anchor_MD)
        log_ratio_M = log_ratios(head.logp, packed.behaviour_M)
        for name, value in ratio_sums(head, log_ratio_M).items():
            totals[name] += value
        for place, index in enumerate(indices):
            logp[index] = head.logp[packed.segments_M == place]
    return Scores(logp=logp, anchor=kept_anchor, metrics=means(totals))
