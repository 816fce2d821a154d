"""Exponential mean: what a stratum's latest answers earn (RAE, arXiv 2506.24119)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ..sealed import SealedEpisode
from ..settings import LearnerSettings
from .segment_counts import by_age
from .sessions import sessions
from .spread import by_stratum

Faded = tuple[float, float]
"""Faded sum of rewards and of ones: the second makes up for a start from nothing."""


@dataclass(slots=True)
class ExponentialMean:
    """b <- d b + (1 - d) r for each stratum, d being `mean_decay`."""

    settings: LearnerSettings
    means: dict[str, Faded] = field(default_factory=dict)

    def baselines(
        self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None = None
    ) -> list[float | None]:
        """Return for each episode the mean after all episodes of its stratum that are of no session of its own.

        They are taken up in the order of their versions. With d = 0.5, nothing known and rewards
        (1, 0, 0): 0, (0.25 * 1) / 0.75 and (0.25 * 1) / 0.75. One that is alone in a new stratum has none.
        """
        found = list[float | None]([None] * len(episodes))
        for stratum, indices in by_stratum(episodes).items():
            ordered = by_age(episodes, indices)
            before = [self.means.get(stratum, (0.0, 0.0))]
            for index in ordered[:-1]:
                before.append(self._after(before[-1], episodes[index]))
            kept, later = 1.0, (0.0, 0.0)
            for index, earlier in zip(reversed(ordered), reversed(before), strict=True):
                total, count = (kept * e + s for e, s in zip(earlier, later, strict=True))
                found[index] = total / count if count > 0.0 else None
                share = self.settings.mean_decay ** episodes[index].weight
                gain = kept * (1.0 - share)
                later = (later[0] + gain * episodes[index].earned, later[1] + gain)
                kept *= share
            for mine in sessions(episodes, ordered):
                mean = self.means.get(stratum, (0.0, 0.0))
                for index in ordered:
                    mean = mean if index in mine else self._after(mean, episodes[index])
                value = mean[0] / mean[1] if mean[1] > 0.0 else None
                for index in mine:
                    found[index] = value
        return found

    def observe(self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None = None) -> None:
        """Take up the episodes' rewards; one of weight 2 is two of them."""
        for stratum, indices in by_stratum(episodes).items():
            mean = self.means.get(stratum, (0.0, 0.0))
            for index in by_age(episodes, indices):
                mean = self._after(mean, episodes[index])
            self.means[stratum] = mean

    def moved(self, by_stratum: Mapping[str, float], otherwise: float) -> None:
        """The mean follows the rewards alone."""

    def _after(self, mean: Faded, episode: SealedEpisode) -> Faded:
        share = self.settings.mean_decay**episode.weight
        total, count = mean
        return share * total + (1.0 - share) * episode.earned, share * count + 1.0 - share
