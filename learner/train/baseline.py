"""Baseline: what a segment's answers earn on average, tracked from one answer per prompt.

SPO's Beta tracker (arXiv 2509.13232, section 3): v = a / (a + b); after each reward r in [0, 1]
a <- rho a + r and b <- rho b + (1 - r). Evidence fades with how far the policy has moved:
rho = 2^(-D / half_life), held between rho_min and rho_max, where D is the mean absolute change of
log-probability since the segment was last seen. SPO keys it by prompt; the prompts of production
hardly repeat, so here the key is the segment.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from ..candidate import sequence_of
from ..sealed import SealedEpisode
from ..settings import LearnerSettings


class SegmentCounts(msgspec.Struct, kw_only=True):
    """What is known of one segment."""

    alpha: float
    """Faded sum of rewards."""
    beta: float
    """Faded sum of 1 minus reward."""
    drift: float = 0.0
    """Mean absolute change of log-probability since the last reward, nats."""

    @property
    def value(self) -> float:
        """Expected reward, in [0, 1]."""
        return self.alpha / (self.alpha + self.beta)


@dataclass(slots=True)
class Tracker:
    """Baselines of all segments.

    With no evidence a segment has a = b = 4, v = 0.5. After a reward of 1 at rho 0.875 it has
    a = 4.5, b = 3.5, v = 0.5625; the advantage of that answer was 1 - 0.5, from before it.
    """

    settings: LearnerSettings
    segments: dict[str, SegmentCounts]

    def value(self, segment: str) -> float:
        """Return the expected reward of a segment."""
        return self._evidence(segment).value

    def rho(self, segment: str) -> float:
        """Return the share of the evidence that the next reward will leave standing."""
        kept = math.exp2(-self._evidence(segment).drift / self.settings.half_life)
        return min(max(kept, self.settings.rho_min), self.settings.rho_max)

    def observe(self, episodes: Sequence[SealedEpisode]) -> list[float]:
        """Take up the episodes' rewards and return each one's baseline from before its own.

        Evidence counts in the order of the versions that made it, not of its arrival
        (arXiv 2608.24870); the values come back in the order of the episodes.
        """
        values = [0.0] * len(episodes)
        for index in sorted(range(len(episodes)), key=lambda i: _age(episodes[i])):
            episode = episodes[index]
            evidence = self.segments.setdefault(episode.segment, self._evidence(episode.segment))
            values[index] = evidence.value
            rho = self.rho(episode.segment)
            evidence.alpha = rho * evidence.alpha + episode.reward
            evidence.beta = rho * evidence.beta + 1.0 - episode.reward
            evidence.drift = 0.0
        return values

    def moved(self, by_segment: Mapping[str, float], otherwise: float) -> None:
        """Record how far an update moved the policy: per segment where measured."""
        for segment, evidence in self.segments.items():
            evidence.drift += by_segment.get(segment, otherwise)

    def to_json(self) -> bytes:
        """Write the tracker; `from_json` gives it back exactly."""
        return msgspec.json.encode(self.segments, order="sorted")

    @classmethod
    def from_json(cls, raw: bytes, settings: LearnerSettings) -> "Tracker":
        """Read a tracker."""
        return cls(settings, msgspec.json.decode(raw, type=dict[str, SegmentCounts]))

    def _evidence(self, segment: str) -> SegmentCounts:
        half = self.settings.prior_count / 2
        return self.segments.get(segment) or SegmentCounts(alpha=half, beta=half)


def _age(episode: SealedEpisode) -> tuple[int, int]:
    """Order of evidence: oldest along the lineage first, then by the version's number."""
    try:
        return -episode.age, sequence_of(episode.version)
    except ValueError:  # a version of a foreign product has no number
        return -episode.age, 0
