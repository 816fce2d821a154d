"""Service steps: the optimizer's steps on a batch's episodes, made at a training service.

Each step asks for its tokens' log-probabilities, works out how hard each is pulled, and gives these as
weights: two passes a step, one for the first of the ratio lane, whose log-probabilities are those of the
whole batch.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..chains import chains
from ..pulls import pulls
from ..settings import LearnerSettings
from ..train.loss import effective_share, means, pull_sums
from ..train.steps import LanePart
from ..train.valued import Valued
from ..train.weight import minibatches, token_weight
from .port import AdamStep, Datum, TrainingService
from .scoring import behaviour, datum, finite, ratio_sums, scored
from .service_lanes import ServiceTensors


@dataclass(slots=True, kw_only=True)
class ServiceSteps:
    """Makes them, and knows how many the policy's life had."""

    service: TrainingService
    """Where the weights are."""
    settings: LearnerSettings
    """How to learn."""
    made: int
    """Steps of the policy's life."""
    lanes: ServiceTensors = field(init=False)
    """What the other lanes ask for between two steps."""

    def __post_init__(self) -> None:
        self.lanes = ServiceTensors(self.service, self.settings)

    def optimise(
        self,
        batch_id: int,
        given: Valued,
        progress: Callable[[int, int], None],
        parts: Sequence[LanePart] = (),
    ) -> dict[str, float]:
        """Make all the steps and return means over them, in the order of `train.steps.optimise`.

        No later pass is begun whose first step's ratios are worth less than `ess_floor`.
        """
        settings, size = self.settings, self.settings.minibatch_episodes
        shuffle = random.Random(f"{settings.seed}/{batch_id}")
        episodes = given.episodes if given.advantages else []
        units, weights = chains(episodes), [one.weight for one in episodes]
        without = [list[int]()] * (0 if episodes else -(-max(part.units for part in parts) // size))
        totals: dict[str, float] = defaultdict(float)
        shares, done = list[float](), 0
        for passed in range(settings.passes):
            shuffle.shuffle(units)
            steps = minibatches(units, weights, size) or without
            for place, chosen in enumerate(steps):
                data, sums = self._of_ratios(given, chosen, first=not done)
                if place == 0 and episodes:
                    shares.append(effective_share(sums))
                    if passed and shares[-1] < settings.ess_floor:
                        return _told(totals, parts, shares, done)
                for part in parts if place == 0 else ():
                    part.begin_pass()
                for name, value in sums.items():
                    totals[name] += value
                for part in parts:
                    part.backward(place, len(steps))
                self._step([*data, *self.lanes.data()])
                done += 1
                progress(done, done - place - 1 + len(steps) * (settings.passes - passed))
        return _told(totals, parts, shares, done)

    def _of_ratios(
        self, given: Valued, chosen: Sequence[int], *, first: bool
    ) -> tuple[list[Datum], dict[str, float]]:
        """Return the ratio lane's part of a step, and the sums that are reported of it."""
        if not chosen:
            return [], {}
        now = [given.scores.logp[i] for i in chosen]
        if not first:
            now = scored(self.service, [given.episodes[i] for i in chosen])
        pulls_M, sums = self._pulled(given, chosen, now)
        episodes = [given.episodes[i] for i in chosen]
        lengths = [len(one.completion_token_ids) for one in episodes]
        normaliser = token_weight(given.episodes) * sum(lengths)
        parts = torch.split(pulls_M, lengths)
        return [
            datum(one, (part * (one.weight / normaliser)).tolist())
            for one, part in zip(episodes, parts, strict=True)
        ], sums

    def _pulled(
        self, given: Valued, chosen: Sequence[int], now: Sequence[Tensor]
    ) -> tuple[Tensor, dict[str, float]]:
        """Return how hard the chosen episodes' tokens are pulled, and the sums that are reported."""
        episodes = [given.episodes[i] for i in chosen]
        advantages = [given.advantages[i] for i in chosen]
        old = [given.scores.logp[i] for i in chosen]
        pulls_M = pulls(now, old, behaviour(episodes), advantages, self.settings)
        advantages_M, logp_M = torch.cat(advantages), torch.cat(list(now))
        weighed_M = pulls_M * torch.cat(
            [torch.full_like(a, e.weight) for a, e in zip(advantages, episodes, strict=True)]
        )
        judged_M = advantages_M != 0 if self.settings.negative_weight else advantages_M > 0
        return pulls_M, {
            **ratio_sums(now, episodes),
            **pull_sums(pulls_M, advantages_M, self.settings),
            "loss/policy": -float((weighed_M * logp_M).sum()),
            "ratio/masked": float((judged_M & (pulls_M == 0)).sum()),
            "advantage/negative_share": float((weighed_M * (advantages_M < 0)).abs().sum()),
            "advantage/weight": float(weighed_M.abs().sum()),
        }

    def _step(self, data: Sequence[Datum]) -> None:
        """Give the weights and make one step on their gradients."""
        settings = self.settings
        assert data, "each step has units of some lane"
        finite(self.service.forward_backward(data))
        warmth = min(1.0, (self.made + 1) / (settings.warmup_steps + 1))
        self.service.step(
            AdamStep(
                learning_rate=settings.learning_rate * warmth,
                beta1=settings.beta1,
                beta2=settings.beta2,
                eps=settings.eps,
                clip_norm=settings.clip_norm,
            )
        )
        self.made += 1


def _told(
    totals: Mapping[str, float], parts: Sequence[LanePart], shares: Sequence[float], steps: int
) -> dict[str, float]:
    return {
        **(means(dict(totals)) if shares else {}),
        **{name: value for part in parts for name, value in part.metrics().items()},
        **({"ess/least": min(shares), "ess/last": shares[-1]} if shares else {}),
        "steps": float(steps),
    }
