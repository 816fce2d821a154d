"""Score: log-probabilities of episodes under the present weights and the anchor; no gradients.

Legend: N episodes, M completion tokens of a pack, D hidden width.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.dispatch import log_ratios
from ..sealed import SealedEpisode
from .loss import means, ratio_sums
from .packing import completion_lengths, pooled_prompts
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
    states_ND: Tensor | None = None
    """The anchor's state of each prompt, pooled; None where its pass did not run."""


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
    kept_anchor, states_ND = list(anchors), None
    if anchor and not anchors:
        kept_anchor, states_ND = anchor_states(learner, episodes)
    totals: dict[str, float] = defaultdict(float)
    for share in learner.packs(episodes):
        indices, packed, counts = share
        anchor_MD = torch.cat([kept_anchor[index] for index in indices]) if anchor else None
        with torch.no_grad():
            head = learner.head(packed, anchor_MD=anchor_MD)
        log_ratio_M = log_ratios(head.logp, packed.behaviour_M)
        for name, value in ratio_sums(head, log_ratio_M).items():
            totals[name] += value * counts
        for place, index in enumerate(indices):
            logp[index] = share.of(head.logp, place)
    return Scores(
        logp=learner.ranks.spread(logp, completion_lengths(episodes)),
        anchor=kept_anchor,
        metrics=means(learner.ranks.summed(totals)),
        states_ND=states_ND,
    )


def anchor_states(
    learner: Learner, episodes: Sequence[SealedEpisode], *, prompts_alone: bool = False
) -> tuple[list[Tensor], Tensor | None]:
    """Return the anchor's states [tokens, D] of each episode, and the pooled one [N, D] of each prompt.

    With `prompts_alone` none is kept of the episodes.
    """
    found = [torch.empty(0)] * (0 if prompts_alone else len(episodes))
    pooled = [torch.empty(0)] * len(episodes)
    for share in learner.packs(episodes):
        indices, packed, counts = share
        with learner.policy.as_anchor():
            states_BTD = learner.states(packed)
        for index, state_D in zip(indices, pooled_prompts(states_BTD, packed), strict=True):
            pooled[index] = state_D[None] if counts else state_D[None][:0]
        anchor_MD = states_BTD[packed.rows_M, packed.columns_M]
        for place, index in enumerate(indices if found else ()):
            found[index] = share.of(anchor_MD, place)
    if not pooled:
        return found, None
    states_ND = torch.cat(learner.ranks.spread(pooled, [1] * len(pooled))).cpu()
    return learner.ranks.spread(found, completion_lengths(episodes)), states_ND
