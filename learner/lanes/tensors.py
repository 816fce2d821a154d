"""Lane tensors: what a lane's part has of the policy, whether its tensors are in this process or not.

Legend: M completion tokens of a pack, D hidden width.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ...kernels.dispatch import HeadOutputs
from ..ranks.group import Ranks
from ..sealed import SealedEpisode
from ..settings import LearnerSettings
from ..train.loss import swept_loss
from ..train.packing import Pack, Share, pack
from ..train.score import score
from ..train.state import Learner
from .reference import ReferenceScores, score_reference


class LaneTensors(Protocol):
    """Scores a lane's episodes; gradients of what it returns reach the weights of the next step."""

    @property
    def settings(self) -> LearnerSettings:
        """How to learn."""
        ...

    @property
    def ranks(self) -> Ranks:
        """Who makes the update together."""
        ...

    def packs(self, episodes: Sequence[SealedEpisode], size: int) -> list[Share]:
        """Split units of `size` episodes each into packs; a share's indices are of units."""
        ...

    def head(
        self, episodes: Sequence[SealedEpisode], packed: Pack, anchor_MD: Tensor | None = None
    ) -> HeadOutputs:
        """Score a pack of these episodes, with gradients; without the anchor's states no KL."""
        ...

    def region_loss(
        self,
        episodes: Sequence[SealedEpisode],
        packed: Pack,
        advantages_M: Tensor,
        weights_M: Tensor,
        anchor_MD: Tensor | None = None,
    ) -> Tensor:
        """Return the ratio lane's loss of a pack, undivided, against `SealedEpisode.logprobs`."""
        ...

    def scored(self, episodes: Sequence[SealedEpisode]) -> list[Tensor]:
        """Return each episode's log-probabilities now, without gradients."""
        ...

    def reference(self, episodes: Sequence[SealedEpisode]) -> ReferenceScores:
        """Score episodes under the anchor."""
        ...

    def apart(self, episodes: Sequence[SealedEpisode]) -> float | None:
        """Estimate the mean KL(policy to anchor) of an answer; None where `head` says it exactly."""
        ...


class OwnTensors:
    """Those of the learner of this process."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    @property
    def settings(self) -> LearnerSettings:
        """As LaneTensors says."""
        return self.learner.settings

    @property
    def ranks(self) -> Ranks:
        """As LaneTensors says."""
        return self.learner.ranks

    def packs(self, episodes: Sequence[SealedEpisode], size: int) -> list[Share]:
        """Return this rank's packs of whole units that fit one forward pass."""
        if size == 1:
            return self.learner.packs(episodes)
        settings, policy = self.learner.settings, self.learner.policy
        most, ranks = settings.pack_tokens * settings.rows_per_forward, self.learner.ranks
        each = [len(e.prompt_token_ids) + len(e.completion_token_ids) for e in episodes]
        room, left, groups = ranks.room(sum(each), most), 0, list[list[int]]()
        for unit in range(len(episodes) // size):
            length = sum(each[unit * size : (unit + 1) * size])
            if length > left:
                groups.append([])
                left = room
            groups[-1].append(unit)
            left -= length
        return [
            Share(
                group,
                pack(
                    [e for unit in group for e in episodes[unit * size : (unit + 1) * size]],
                    tokens=settings.pack_tokens,
                    device=policy.device,
                    together=policy.packs,
                ),
                float(counts),
            )
            for group, counts in ranks.dealt(groups)
        ]

    def head(
        self, episodes: Sequence[SealedEpisode], packed: Pack, anchor_MD: Tensor | None = None
    ) -> HeadOutputs:
        """As LaneTensors says."""
        return self.learner.head(packed, anchor_MD=anchor_MD)

    def region_loss(
        self,
        episodes: Sequence[SealedEpisode],
        packed: Pack,
        advantages_M: Tensor,
        weights_M: Tensor,
        anchor_MD: Tensor | None = None,
    ) -> Tensor:
        """As LaneTensors says."""
        return swept_loss(
            self.learner.hidden(packed),
            anchor_MD,
            self.learner.policy.head_VD,
            packed,
            advantages_M,
            weights_M=weights_M,
            normaliser=1.0,
            settings=self.learner.settings,
            anchor_head_VD=self.learner.policy.anchor_head_VD,
        ).total

    def scored(self, episodes: Sequence[SealedEpisode]) -> list[Tensor]:
        """As LaneTensors says."""
        return score(self.learner, episodes).logp

    @torch.no_grad()
    def reference(self, episodes: Sequence[SealedEpisode]) -> ReferenceScores:
        """As LaneTensors says, with the anchor's states and the KL over the whole vocabulary."""
        return score_reference(self.learner, episodes)

    def apart(self, episodes: Sequence[SealedEpisode]) -> float | None:
        """Return None: `head` has the KL over the whole vocabulary."""
        return None
