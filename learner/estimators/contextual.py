"""Contextual: what an answer was expected to earn, from the prompt that it answers.

An online ridge regression of the reward on the prompt's pooled state, beside a level for each segment
and stratum (`mixed`). Prompts of production differ much more in how hard they are than segments do,
and they hardly repeat. The states are the anchor's: the policy's own would move under the regression.
Legend: N episodes, D width of the states, K features.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog
import torch
from torch import Tensor

from ..sealed import SealedEpisode
from ..settings import LearnerSettings
from .mixed import MixedModel, mixed_model
from .projection import projected
from .ridge import RidgeSums
from .segment_counts import SegmentCounts, by_age
from .spread import by_stratum

log = structlog.get_logger()

STRENGTHS = (math.inf, 100.0, 30.0, 10.0, 3.0, 1.0)
"""Strengths of the ridge that are tried, in episodes for each of the K features and times K. On the
simulated log 10 and 30 were the best throughout; at 0.1 it expected less than half as much."""
LOSS_KEPT = 0.9
"""Share of each strength's losses that a batch leaves standing."""
TENSORS = ("states_K", "cross_K", "gram_KK")


class ContextualState(msgspec.Struct, kw_only=True):
    """What of the estimator is written as JSON; the tensors lie beside it."""

    offsets: dict[str, SegmentCounts]
    """By stratum, of what the features left over."""
    losses: list[float]
    """Faded squared errors of each strength, each reward's prediction being without itself."""
    width: int = 0
    """D of the states that the sums are of; 0 where none was seen."""
    count: float = 0.0
    """As in `RidgeSums`."""
    target: float = 0.0
    """As in `RidgeSums`."""


@dataclass(slots=True)
class Contextual:
    """Baselines by prompt and segment."""

    settings: LearnerSettings
    offsets: dict[str, SegmentCounts] = field(default_factory=dict)
    losses: list[float] = field(default_factory=lambda: [0.0] * len(STRENGTHS))
    moments: RidgeSums = field(default_factory=lambda: RidgeSums.empty(0))
    width: int = 0

    @property
    def strength(self) -> float:
        """The strength that predicted best so far, by rewards of batches that are over; the strongest
        of equals, so that the first batch goes without features."""
        return STRENGTHS[self.losses.index(min(self.losses))]

    def baselines(
        self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None
    ) -> list[float | None]:
        """Return the joint regression's prediction of each reward, fitted without that reward.

        The ridge's strength is of the batches before, and the features' scale is of the prompts, so
        that nothing of an answer's own reward is in its baseline. A prompt without a usable state
        has its segment's.
        """
        model, _, _ = self._model(episodes, states_ND)
        strength = self.strength if self._fits(states_ND) else math.inf
        values = model.fit(strength * model.features_NK.shape[1] or math.inf).left_out_N
        return [None if math.isnan(value) else value for value in values.tolist()]

    def observe(self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None) -> None:
        """Take up the rewards: what the features left over into the levels, and the reverse."""
        self._start_again_at(states_ND)
        model, states_NK, usable_N = self._model(episodes, states_ND)
        features = model.features_NK.shape[1]
        by_features_N, by_levels_N = model.parts(model.fit(self.strength * features or math.inf))
        self._take_up(episodes, (model.rewards_N - by_features_N).tolist())
        for place, strength in enumerate(STRENGTHS):
            off_N = model.fit(strength * features or math.inf).left_out_N - model.rewards_N
            loss = float((model.weights_N * off_N.nan_to_num() ** 2).sum())
            self.losses[place] = LOSS_KEPT * self.losses[place] + loss
        self.moments = self.moments.plus(
            states_NK, model.rewards_N - by_levels_N, model.weights_N * usable_N
        )

    def moved(self, by_stratum: Mapping[str, float], otherwise: float) -> None:
        """Fade what was learned of the prompts: half of it in `context_half_life` of change."""
        share = math.exp2(-otherwise / self.settings.context_half_life)
        self.moments = self.moments.faded(share)
        for stratum, counts in self.offsets.items():
            counts.drift += by_stratum.get(stratum, otherwise)

    def metrics(self) -> dict[str, float]:
        """Return how much evidence there is, and how strong the ridge will be; 0 is without features."""
        strength = self.strength
        return {
            "evidence": self.moments.count,
            "ridge": 0.0 if math.isinf(strength) else strength * len(self.moments.states_K),
        }

    def state(self) -> tuple[ContextualState, dict[str, Tensor]]:
        """Return what `from_state` takes up again, to the bit."""
        told = ContextualState(
            offsets=self.offsets,
            losses=self.losses,
            width=self.width,
            count=self.moments.count,
            target=self.moments.target,
        )
        return told, {name: getattr(self.moments, name) for name in TENSORS if self.width}

    @classmethod
    def from_state(
        cls, told: ContextualState, tensors: Mapping[str, Tensor], settings: LearnerSettings
    ) -> "Contextual":
        """Take up what `state` gave."""
        found = cls(settings, told.offsets, told.losses, width=told.width)
        if told.width:
            found.moments = RidgeSums(told.count, told.target, *(tensors[name] for name in TENSORS))
        return found

    def _model(
        self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None
    ) -> tuple[MixedModel, Tensor, Tensor]:
        """Return the batch's regression, its features [N, K] and which of them are usable [N]."""
        if states_ND is None:
            states_NK = torch.zeros(len(episodes), len(self.moments.states_K), dtype=torch.float64)
            usable_N = torch.zeros(len(episodes), dtype=torch.float64)
        else:
            finite_N = states_ND.isfinite().all(1).cpu()
            states_NK = projected(
                torch.where(finite_N[:, None], states_ND.cpu(), 0.0), self.settings.context_features
            )
            usable_N = finite_N.double()
        fits = self.moments if self._fits(states_ND) else RidgeSums.empty(states_NK.shape[1])
        model = mixed_model(episodes, states_NK, usable_N, fits, self.offsets, self.settings)
        return model, states_NK, usable_N

    def _fits(self, states_ND: Tensor | None) -> bool:
        """True where the sums are of such states."""
        if states_ND is None:
            return True
        width = states_ND.shape[1]
        features = min(width, self.settings.context_features)
        return self.width == width and len(self.moments.states_K) == features

    def _start_again_at(self, states_ND: Tensor | None) -> None:
        """Begin the sums anew where they are of states of another width, or of other features."""
        if states_ND is None or self._fits(states_ND):
            return
        width = states_ND.shape[1]
        features = min(width, self.settings.context_features)
        if self.width:
            log.warning(
                "contextual_started_again",
                was=f"{len(self.moments.states_K)} features of states of width {self.width}",
                now=f"{features} features of states of width {width}",
            )
        self.moments, self.width = RidgeSums.empty(features), width
        self.losses = [0.0] * len(STRENGTHS)

    def _take_up(self, episodes: Sequence[SealedEpisode], left_over: Sequence[float]) -> None:
        for stratum, indices in by_stratum(episodes).items():
            if counts := self.offsets.get(stratum):
                for index in by_age(episodes, indices):
                    counts.take_up(left_over[index], episodes[index].weight, self.settings)
                continue
            weight = math.fsum(episodes[index].weight for index in indices)
            total = math.fsum(episodes[index].weight * left_over[index] for index in indices)
            worth = min(weight, self.settings.prior_count)
            alpha = worth * total / weight
            self.offsets[stratum] = SegmentCounts(
                alpha=alpha, beta=worth - alpha, segment=episodes[indices[0]].segment
            )
