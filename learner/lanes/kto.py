"""KTO: decisions without usable log-probabilities raise what was liked and lower what was not.

Kahneman-Tversky optimisation (arXiv 2402.01306, eq. 8), through `kernels/`:

    L = (4 / beta) (1 / N) sum_i w_i (1 - sigmoid(sign_i beta (s_i - z)))

s is an answer's summed log-ratio to the anchor, sign 1 where its reward is above 1/2. w is the episode's
weight times |2 reward - 1|: a reward of 1/2 is no decision. Liked and disliked answers of a batch have
equal weight together, as far as a factor of MOST_BALANCE goes (TRL's advice is a ratio of 1 to 4/3). z is
the mean KL(policy to anchor) of the batch's answers in the pass before, exact and over the whole
vocabulary; at a training service estimated from mismatched pairs, as in the paper. 4 / beta makes the pull of a token at
s = z that of an advantage of 1. Legend: M completion tokens, S episodes.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...kernels.dispatch import Kto, Packed, segment_losses
from ..sealed import SealedEpisode
from ..train.packing import Pack
from .dealt_part import DealtPart, bounds_of, without_ratio
from .tensors import LaneTensors
from .within_region import within_region

KTO = "kto"
MOST_BALANCE = 4.0
"""The fewer of liked and disliked count at most so many times as much."""
UNDECIDED = 1e-9
"""What is nearer to a reward of 1/2 is so by rounding: no step may hang on its side."""


class KtoPart(DealtPart):
    """The lane's episodes of a batch."""

    def __init__(
        self, tensors: LaneTensors, episodes: Sequence[SealedEpisode], *, batch_id: int
    ) -> None:
        lanes = tensors.settings.lanes
        ours = [without_ratio(one) for one in episodes]
        super().__init__(
            tensors, KTO, [(one,) for one in ours], weight=lanes.kto, batch_id=batch_id
        )
        self.reference = tensors.reference(ours)
        self.likings = [2.0 * one.earned - 1.0 for one in ours]
        worth = [
            w.weight * min(abs(liking), 1.0) for w, liking in zip(ours, self.likings, strict=True)
        ]
        liked = math.fsum(w for w, liking in zip(worth, self.likings, strict=True) if liking > 0)
        up, down = balance(liked, math.fsum(worth) - liked)
        down *= tensors.settings.negative_weight
        self.worth = [
            w * (up if liking > 0 else down) for w, liking in zip(worth, self.likings, strict=True)
        ]
        self.baseline = math.fsum(self.reference.kl) / len(ours)
        self.objective = Kto(beta=lanes.kto_beta)

    def begin_pass(self) -> None:
        """Deal anew; z is what the pass before found, or an estimate where only that can be had."""
        if (estimate := self.tensors.apart(self.taught)) is not None:
            self.baseline = estimate
        elif "kl" in self.sums:
            self.baseline = self.sums["kl"] / self.units
        super().begin_pass()

    def loss(self, places: Sequence[int], packed: Pack) -> Tensor:
        """Return the loss of a pack, undivided."""
        known = self.reference.states
        states_MD = torch.cat([known[place] for place in places]) if known else None
        head = self.head(places, packed, states_MD)
        likings_S = head.logp.new_tensor([self.likings[place] for place in places])
        logp_M, masked = within_region(
            head.logp,
            torch.cat([self.reference.policy[place] for place in places]),
            (likings_S > 0)[packed.segments_M],
            self.tensors.settings.region,
        )
        self.sums["masked"] += masked
        given = Packed(
            logp=logp_M,
            bounds=bounds_of(packed),
            reference=torch.cat([self.reference.logp[place] for place in places]),
            desirable=likings_S > 0,
            baseline=head.logp.new_tensor([self.baseline]),
        )
        losses_S = segment_losses(given, self.objective).losses
        liked = int((likings_S > 0).sum())
        self.sums["liked"] += liked
        self.sums["kl"] += float(head.kl.detach().sum()) if known else self.baseline * len(places)
        self.sums["loss"] += float(losses_S.detach().sum())
        worth_S = head.logp.new_tensor([self.worth[place] for place in places])
        total: Tensor = (losses_S * worth_S).sum() * (4.0 / self.objective.beta)
        return total


def balance(liked: float, disliked: float) -> tuple[float, float]:
    """Return what the weight of liked and of disliked answers is multiplied by.

    >>> balance(6.0, 2.0)
    (0.6666666666666666, 2.0)
    """
    half = (liked + disliked) / 2
    return min(half / liked, MOST_BALANCE), min(half / disliked, MOST_BALANCE)


def kto_episodes(episodes: Sequence[SealedEpisode]) -> list[SealedEpisode]:
    """Return what the lane can learn from: nothing where all were liked, or none.

    Then nothing says what was better than what: as in the ratio lane, no spread is no step.
    """
    ours = [one for one in episodes if one.in_lane(KTO) and abs(one.earned - 0.5) > UNDECIDED]
    signs = {one.earned > 0.5 for one in ours}
    return ours if len(signs) == 2 else []
