"""Service lanes: the other lanes' losses at a training service, given as weights.

Each loss is one of given tokens' log-probabilities, so that its gradient is -sum(w grad log pi) with w its
derivative: the service is asked for log-probabilities, the derivative is taken here, and goes back as
weights. Legend: M completion tokens of a pack.
"""

from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor

from ...kernels.dispatch import HeadOutputs
from ..lanes.reference import ReferenceScores
from ..pulls import pulls
from ..ranks.group import ALONE, Ranks
from ..sealed import SealedEpisode
from ..settings import LearnerSettings
from ..train.packing import Pack, Share, completion_lengths, pack
from .port import Datum, TrainingService
from .scoring import behaviour, datum, finite, scored


class ServiceTensors:
    """As `lanes.tensors.LaneTensors`, behind the port; `data` are the weights of what was asked since."""

    ranks: Ranks = ALONE

    def __init__(self, service: TrainingService, settings: LearnerSettings) -> None:
        self.service, self.settings = service, settings
        self._asked = list[tuple[list[SealedEpisode], Tensor]]()
        self._base_across = list[float]()

    def packs(self, episodes: Sequence[SealedEpisode], size: int) -> list[Share]:
        """Return one pack: a service splits what it is given itself."""
        if not episodes:
            return []
        packed = pack(episodes, tokens=self.settings.pack_tokens, device=torch.device("cpu"))
        return [Share(list(range(len(episodes) // size)), packed)]

    def head(
        self, episodes: Sequence[SealedEpisode], packed: Pack, anchor_MD: Tensor | None = None
    ) -> HeadOutputs:
        """Return log-probabilities whose derivative becomes weights; of the whole vocabulary nothing."""
        logp_M = torch.cat(scored(self.service, episodes)).requires_grad_()
        self._asked.append((list(episodes), logp_M))
        nothing_M = torch.zeros_like(logp_M).detach()
        return HeadOutputs(
            logp=logp_M, lse=nothing_M, entropy=nothing_M, kl=nothing_M, anchor_lse=nothing_M
        )

    def region_loss(
        self,
        episodes: Sequence[SealedEpisode],
        packed: Pack,
        advantages_M: Tensor,
        weights_M: Tensor,
        anchor_MD: Tensor | None = None,
    ) -> Tensor:
        """As LaneTensors says: its gradient is that of the pulls."""
        logp_M, lengths = self.head(episodes, packed).logp, completion_lengths(episodes)
        now, drawn = torch.split(logp_M.detach(), lengths), behaviour(episodes)
        pulls_M = pulls(now, drawn, drawn, torch.split(advantages_M, lengths), self.settings)
        return -(weights_M * pulls_M * logp_M).sum()

    def scored(self, episodes: Sequence[SealedEpisode]) -> list[Tensor]:
        """As LaneTensors says."""
        return scored(self.service, episodes)

    def reference(self, episodes: Sequence[SealedEpisode]) -> ReferenceScores:
        """Score them under the base model; it has no states here, and no KL but `apart`."""
        return ReferenceScores(
            logp=finite(self.service.base_logprobs([datum(one) for one in episodes])),
            states=[],
            kl=[0.0] * len(episodes),
            policy=scored(self.service, episodes),
        )

    def apart(self, episodes: Sequence[SealedEpisode]) -> float | None:
        """Estimate the KL of an answer as the paper of KTO does (arXiv 2402.01306, section 4.1).

        That is the mean of log pi less log pi_0 of other questions' answers, and 0 where that is less. Each
        question gets the next one's answer; one too long with it is left out.
        """
        crossed = [
            msgspec.structs.replace(one, completion_token_ids=other.completion_token_ids)
            for one, other in zip(episodes, (*episodes[1:], episodes[0]), strict=True)
        ]
        fit = [
            one
            for one in crossed
            if len(one.prompt_token_ids) + len(one.completion_token_ids)
            <= self.settings.max_episode_tokens
        ]
        if not fit:
            return 0.0
        if not self._base_across:
            base = finite(self.service.base_logprobs([datum(one) for one in fit]))
            self._base_across = [float(each.sum()) for each in base]
        now = [float(each.sum()) for each in scored(self.service, fit)]
        return max(0.0, (sum(now) - sum(self._base_across)) / len(fit))

    def data(self) -> list[Datum]:
        """Return what was asked since the last call, with its weights."""
        found = list[Datum]()
        for episodes, logp_M in self._asked:
            assert logp_M.grad is not None, "a lane scored what its loss is not of"
            parts = torch.split(-logp_M.grad, completion_lengths(episodes))
            found += [datum(one, w.tolist()) for one, w in zip(episodes, parts, strict=True)]
        self._asked.clear()
        return found
