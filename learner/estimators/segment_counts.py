"""Segment counts: faded evidence of what one stratum's answers earn."""

import math
from collections.abc import Sequence

import msgspec

from ..candidate import sequence_of
from ..sealed import SealedEpisode
from ..settings import LearnerSettings


class SegmentCounts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is known of one stratum: a segment under one harness."""

    alpha: float
    """Faded sum of rewards."""
    beta: float
    """Faded sum of 1 minus reward."""
    drift: float = 0.0
    """Mean absolute change of log-probability since the last reward, nats."""
    segment: str = ""
    """The segment that the stratum is of; empty in what was written before it was kept."""

    @property
    def count(self) -> float:
        """Episodes that the evidence is worth."""
        return self.alpha + self.beta

    @property
    def value(self) -> float:
        """Expected reward, in [0, 1]."""
        return self.alpha / (self.alpha + self.beta)

    def rho(self, settings: LearnerSettings) -> float:
        """Return the share of the evidence that the next reward leaves standing."""
        kept = math.exp2(-self.drift / settings.half_life)
        return min(max(kept, settings.rho_min), settings.rho_max)

    def freshness(self, settings: LearnerSettings) -> float:
        """Return how much the evidence is worth to others: what is not seen any more goes to zero."""
        return math.exp2(-self.drift / settings.half_life)

    def take_up(self, reward: float, weight: float, settings: LearnerSettings) -> None:
        """Take up one reward; what a weight is above 1 finds nothing that has drifted.

        A weight w fades the evidence by rho^w and adds (1 - rho^w) / (1 - rho) of the reward:
        two of a half come to one whole.
        """
        for step in (min(weight, 1.0), weight - 1.0):  # From a weight of 1 on nothing has drifted.
            if step <= 0.0:
                return
            rho = self.rho(settings)
            kept = rho**step
            worth = (1.0 - kept) / (1.0 - rho)
            self.alpha = kept * self.alpha + worth * reward
            self.beta = kept * self.beta + worth * (1.0 - reward)
            self.drift *= max(0.0, 1.0 - step)


def segment_of(stratum: str, counts: SegmentCounts) -> str:
    """Return the segment of a stratum, by its name where the counts do not say."""
    return counts.segment or stratum.partition(" · ")[0]


def by_age(episodes: Sequence[SealedEpisode], indices: Sequence[int]) -> list[int]:
    """Return the indices in the order of evidence: oldest along the lineage first, then by version.

    Evidence counts in the order of the versions that made it, not of its arrival (arXiv 2608.24870).
    """

    def age(index: int) -> tuple[int, int]:
        episode = episodes[index]
        try:
            return -episode.age, sequence_of(episode.version)
        except ValueError:  # a version of a foreign product has no number
            return -episode.age, 0

    return sorted(indices, key=age)
