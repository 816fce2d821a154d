"""Hindsight: the policy that has read what the person wrote back is the teacher of the answer before it.

    A_t = sg[log pi(y_t | x, o, y_<t) - log pi(y_t | x, y_<t)]

(arXiv 2603.12273): what the follow-up o makes likelier rises, what it makes less likely falls, and one
that tells nothing leaves A near 0. o stands as a block at the end of the last user turn. Both are of the
weights before the batch, A is held within MOST_ADVANTAGE either way, and the loss is the ratio lane's
(`train/loss.py`), against the policy of then. Only the turn before the follow-up is taught.
Legend: M completion tokens.
"""

from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor

from ..sealed import SealedEpisode
from ..train.packing import Pack
from .dealt_part import BesideAnswers, DealtPart, without_ratio
from .model_words import ModelWords
from .tensors import LaneTensors

HINDSIGHT = "hindsight"
MOST_ADVANTAGE = 2.0
"""A token that the teacher would never have written does not outweigh the rest of the answer."""
BLOCK = "\n\n[What the person wrote back after the answer: {}]"


class HindsightPart(DealtPart):
    """The lane's episodes of a batch, each with how its teacher reads it."""

    def __init__(
        self,
        tensors: LaneTensors,
        told: Sequence[tuple[SealedEpisode, SealedEpisode]],
        *,
        batch_id: int,
    ) -> None:
        plain = [without_ratio(one) for one, _ in told]
        before = tensors.scored(plain)
        after = tensors.scored([without_ratio(teacher) for _, teacher in told])
        self.advantages = [
            (teacher - own).clamp(-MOST_ADVANTAGE, MOST_ADVANTAGE)
            for own, teacher in zip(before, after, strict=True)
        ]
        ours = [
            msgspec.structs.replace(one, logprobs=tuple(logp.tolist()))
            for one, logp in zip(plain, before, strict=True)
        ]
        weight = tensors.settings.lanes.hindsight
        super().__init__(
            tensors, HINDSIGHT, [(one,) for one in ours], weight=weight, batch_id=batch_id
        )
        self.weights = [one.weight for one in ours]
        kl = tensors.settings.kl_weight
        self.anchors = tensors.reference(plain).states if kl else []

    def loss(self, places: Sequence[int], packed: Pack) -> Tensor:
        """Return the loss of a pack, undivided."""
        anchor_MD = torch.cat([self.anchors[i] for i in places]) if self.anchors else None
        advantages_M = torch.cat([self.advantages[place] for place in places])
        self.sums["advantage"] += float(advantages_M.abs().sum())
        weights_S = advantages_M.new_tensor([self.weights[place] for place in places])
        return self.tensors.region_loss(
            self.episodes(places), packed, advantages_M, weights_S[packed.segments_M], anchor_MD
        )

    def metrics(self) -> dict[str, float]:
        """Return also the mean size of a token's advantage."""
        told = super().metrics()
        told["lane/hindsight/advantage"] *= self.units / self.tokens
        return told


def with_teachers(
    episodes: Sequence[SealedEpisode], words: ModelWords, *, longest: int
) -> BesideAnswers:
    """Return each episode with itself as its teacher reads it.

    Not one whose prompt does not end with a user's turn, as after a tool's result.
    """
    told = BesideAnswers([], [])
    for one in episodes:
        if not one.in_lane(HINDSIGHT):
            continue
        prompt = words.said_to_user(one.prompt_token_ids, BLOCK.format(one.follow_up))
        if prompt is None:
            continue
        if len(prompt) + len(one.completion_token_ids) > longest:
            told.too_long.append(one.generation_id)
            continue
        told.units.append(
            (one, msgspec.structs.replace(one, prompt_token_ids=prompt, routed_experts=None))
        )
    return told
