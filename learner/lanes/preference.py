"""Preference: an edit raises what a person made of an answer over what the model had written.

DPO (arXiv 2305.18290, eq. 7) on pairs of edited and original answer, through `kernels/`, with a term of
supervised learning on the edit, for without it both may fall:

    L = (2 / beta) (1 / N) sum_i w_i (-log sigmoid(beta (s_edit - s_answer)) - dpo_sft mean_t log pi_t(edit))

s is a summed log-ratio to the anchor; what both answers begin with takes itself out. 2 / beta makes the
pull of a token at first that of an advantage of 1. Legend: M completion tokens, P pairs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...kernels.dispatch import Dpo, Packed, segment_losses
from ..sealed import SealedEpisode
from ..train.packing import Pack
from .dealt_part import BesideAnswers, DealtPart, bounds_of, without_ratio
from .model_words import ModelWords
from .tensors import LaneTensors
from .within_region import within_region

DPO = "dpo"


class PreferencePart(DealtPart):
    """The lane's pairs of a batch, the edit first."""

    def __init__(
        self,
        tensors: LaneTensors,
        pairs: Sequence[tuple[SealedEpisode, SealedEpisode]],
        *,
        batch_id: int,
    ) -> None:
        lanes = tensors.settings.lanes
        super().__init__(tensors, DPO, pairs, weight=lanes.dpo, batch_id=batch_id)
        self.reference = tensors.reference([one for pair in pairs for one in pair])
        self.weights = [edit.weight for edit, _ in pairs]
        self.objective = Dpo(beta=lanes.dpo_beta, by_length=False, likelihood_weight=lanes.dpo_sft)

    def loss(self, places: Sequence[int], packed: Pack) -> Tensor:
        """Return the loss of a pack, undivided."""
        given = Packed(
            logp=self._pulled(self.head(places, packed).logp, places, packed),
            bounds=bounds_of(packed),
            reference=torch.cat([self.reference.logp[place] for place in places]),
        )
        losses_P = segment_losses(given, self.objective).losses
        self.sums["loss"] += float(losses_P.detach().sum())
        weights_P = losses_P.new_tensor([self.weights[place // 2] for place in places[::2]])
        total: Tensor = (losses_P * weights_P).sum() * (2.0 / self.objective.beta)
        return total

    def _pulled(self, logp_M: Tensor, places: Sequence[int], packed: Pack) -> Tensor:
        """Return the log-probabilities with the gradient that the settings allow.

        None beyond the trust region, and the answers' at `negative_weight`, as whatever is pushed down.
        """
        edits_S = torch.tensor([place % 2 == 0 for place in places], device=logp_M.device)
        edits_M = edits_S[packed.segments_M]
        before_M = torch.cat([self.reference.policy[place] for place in places])
        held_M, masked = within_region(logp_M, before_M, edits_M, self.tensors.settings.region)
        self.sums["masked"] += masked
        down = self.tensors.settings.negative_weight
        return torch.where(edits_M, held_M, down * held_M + (1.0 - down) * held_M.detach())


def edited_pairs(
    episodes: Sequence[SealedEpisode], words: ModelWords, *, longest: int
) -> BesideAnswers:
    """Return each edit with its answer; not those that come to the same tokens, or are too long."""
    pairs = BesideAnswers([], [])
    for one in episodes:
        made = one.correction
        if not one.in_lane(DPO) or made is None:
            continue
        ids = one.completion_token_ids
        # Of an answer that was cut off nothing stands after its text: what a person made of it ends.
        after = ids[made.past :] or (words.end,)
        edit = (*ids[: made.first], *words.said(made.text), *after)
        if edit == ids or not edit:
            continue
        if len(one.prompt_token_ids) + len(edit) > longest:
            pairs.too_long.append(one.generation_id)
            continue
        pairs.units.append((without_ratio(one, completion=edit), without_ratio(one)))
    return pairs
