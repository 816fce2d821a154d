"""Imitation: supervised learning on answers that were accepted or kept and make no ratio.

    L = (1 / N) sum_i w_i sum_t (-log pi_t + kl_weight KL_t)

A policy that has learned nothing yet is started by it from what was answered elsewhere. It says nothing
of what is bad, and what was often answered counts often: it is no mean reward, and the ratio lane's
answers are never in it. Legend: M completion tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..sealed import SealedEpisode
from ..train.packing import Pack
from .dealt_part import DealtPart, without_ratio
from .tensors import LaneTensors

SFT = "sft"


class ImitationPart(DealtPart):
    """The lane's episodes of a batch."""

    def __init__(
        self, tensors: LaneTensors, episodes: Sequence[SealedEpisode], *, batch_id: int
    ) -> None:
        ours = [without_ratio(one) for one in episodes]
        weight = tensors.settings.lanes.sft
        super().__init__(tensors, SFT, [(one,) for one in ours], weight=weight, batch_id=batch_id)
        self.weights = [one.weight for one in ours]
        self.kl_weight = tensors.settings.kl_weight
        self.anchors = tensors.reference(ours).states if self.kl_weight else []

    def loss(self, places: Sequence[int], packed: Pack) -> Tensor:
        """Return the loss of a pack, undivided."""
        anchor_MD = torch.cat([self.anchors[i] for i in places]) if self.anchors else None
        head = self.head(places, packed, anchor_MD)
        weights_S = head.logp.new_tensor([self.weights[place] for place in places])
        loss_M = -head.logp
        if self.anchors:
            loss_M = loss_M + self.kl_weight * head.kl
        self.sums["likelihood"] += float(head.logp.detach().sum())
        total: Tensor = (loss_M * weights_S[packed.segments_M]).sum()
        return total

    def metrics(self) -> dict[str, float]:
        """Return also the mean log-probability of a token."""
        told = super().metrics()
        told["lane/sft/likelihood"] *= self.units / self.tokens
        return told
