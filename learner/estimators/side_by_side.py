"""Side by side: every estimator on every batch, whichever one is learned with.

Each is kept up and written into the checkpoint, so that another setting starts warm.
Legend: N episodes of a batch, D width of their prompts' pooled states.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from torch import Tensor

from ..sealed import SealedEpisode
from ..settings import LearnerSettings
from .contextual import Contextual, ContextualState
from .estimator import Estimator
from .exponential_mean import ExponentialMean, Faded
from .reinforce_plus_plus import ReinforcePlusPlus
from .segment_counts import SegmentCounts
from .tracker import Tracker

Baselines = list[float | None]


class _State(msgspec.Struct, kw_only=True):
    """All that is written as JSON."""

    tracker: dict[str, SegmentCounts]
    exponential_mean: dict[str, Faded]
    contextual: ContextualState


@dataclass(slots=True)
class Estimators:
    """All estimators, and which one is learned with."""

    settings: LearnerSettings
    tracker: Tracker
    exponential_mean: ExponentialMean
    reinforce_plus_plus: ReinforcePlusPlus
    contextual: Contextual

    @classmethod
    def new(cls, settings: LearnerSettings, tracker: Tracker | None = None) -> "Estimators":
        """Start from nothing, or from what was known when there was the tracker alone."""
        return cls(
            settings,
            tracker or Tracker(settings, {}),
            ExponentialMean(settings),
            ReinforcePlusPlus(),
            Contextual(settings),
        )

    def named(self) -> dict[str, Estimator]:
        """Return each under the name that `[learner] estimator` has for it."""
        return {
            "tracker": self.tracker,
            "exponential_mean": self.exponential_mean,
            "reinforce_plus_plus": self.reinforce_plus_plus,
            "contextual": self.contextual,
        }

    def baselines(
        self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None = None
    ) -> dict[str, Baselines]:
        """Return what each estimator expected of each episode, by what is known beside its session.

        Where nothing is, as in a first batch of one session alone, by that one's other answers.
        """
        found, alone = dict[str, Baselines](), list[SealedEpisode]()
        for name, one in self.named().items():
            found[name] = one.baselines(episodes, states_ND) if episodes else []
            if None in found[name] and any(episode.session for episode in episodes):
                alone = alone or [msgspec.structs.replace(each, session=0) for each in episodes]
                instead = one.baselines(alone, states_ND)
                found[name] = [
                    known if value is None else value
                    for value, known in zip(found[name], instead, strict=True)
                ]
        return found

    def observe(self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None = None) -> None:
        """Let all of them take up the episodes' rewards."""
        for one in self.named().values():
            one.observe(episodes, states_ND)

    def moved(self, by_stratum: Mapping[str, float], otherwise: float) -> None:
        """Tell all of them how far an update moved the policy."""
        for one in self.named().values():
            one.moved(by_stratum, otherwise)

    def metrics(self) -> dict[str, float]:
        """Return what the estimators say of themselves."""
        told = self.contextual.metrics()
        return {f"estimator/contextual/{name}": value for name, value in told.items()}

    def state(self) -> tuple[bytes, dict[str, Tensor]]:
        """Return all that is known as JSON and tensors; `from_state` gives it back to the bit."""
        told, tensors = self.contextual.state()
        state = _State(
            tracker=self.tracker.segments,
            exponential_mean=self.exponential_mean.means,
            contextual=told,
        )
        return msgspec.json.encode(state, order="sorted"), tensors

    @classmethod
    def from_state(
        cls, raw: bytes, tensors: Mapping[str, Tensor], settings: LearnerSettings
    ) -> "Estimators":
        """Take up what `state` gave."""
        state = msgspec.json.decode(raw, type=_State)
        return cls(
            settings,
            Tracker(settings, state.tracker),
            ExponentialMean(settings, state.exponential_mean),
            ReinforcePlusPlus(),
            Contextual.from_state(state.contextual, tensors, settings),
        )
