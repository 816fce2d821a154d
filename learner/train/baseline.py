"""Baseline: what a segment's answers earn on average, tracked from one answer per prompt.

SPO's Beta tracker (arXiv 2509.13232, section 3): v = a / (a + b); after each reward r in [0, 1]
a <- rho a + r and b <- rho b + (1 - r). Evidence fades with how far the policy has moved:
rho = 2^(-D / half_life), held between rho_min and rho_max, where D is the mean absolute change of
log-probability since the segment was last seen. SPO keys it by prompt; the prompts of production
hardly repeat, so here the key is the segment, apart for each harness (version of the product around
the model): a release that earns more is not mistaken for the policy. So a batch holds many rewards of
one key, and they are evidence for each other's baseline too: with SPO's value from before each reward,
the order of arrival would decide (measured: of 256 rejected answers of a new segment 220 became
likelier).
"""

import math
from collections import defaultdict
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
    """Baselines of all segments."""

    settings: LearnerSettings
    segments: dict[str, SegmentCounts]

    def rho(self, segment: str) -> float:
        """Return the share of a known segment's evidence that the next reward leaves standing."""
        kept = math.exp2(-self.segments[segment].drift / self.settings.half_life)
        return min(max(kept, self.settings.rho_min), self.settings.rho_max)

    def baselines(self, episodes: Sequence[SealedEpisode]) -> list[float | None]:
        """Return what each episode was expected to earn, by all that is known but its own reward.

        That is the faded evidence from before and the batch's other rewards of the segment, each by
        its weight: (rho a + sum of others) / (rho (a + b) + their weight). Leaving out its own, whatever
        it weighs, keeps the gradient unbiased. None where the segment has no spread, so that nothing says which answers were
        better: all its rewards are equal, or its only one equals the evidence or has none.
        With a = b = 4, rho 0.875 and rewards (1, 0): (3.5 + 0) / 8 and (3.5 + 1) / 8.
        """
        found = list[float | None]([None] * len(episodes))
        if len(episodes) > 1 and _equal([episode.reward for episode in episodes]):
            return found
        for segment, indices in _by_stratum(episodes).items():
            rewards = [episodes[index].reward for index in indices]
            earned = [episodes[index].earned for index in indices]
            before, count = (0.0, 0.0) if segment not in self.segments else self._faded(segment)
            alone = len(rewards) == 1 and count > 0.0
            if _equal([*rewards, before / count] if alone else rewards):
                continue
            weights = [episodes[index].weight for index in indices]
            total = before + math.fsum(w * r for w, r in zip(weights, earned, strict=True))
            weight = count + math.fsum(weights)
            for index, own, reward in zip(indices, weights, earned, strict=True):
                found[index] = (total - own * reward) / (weight - own)
        return found

    def observe(self, episodes: Sequence[SealedEpisode]) -> None:
        """Take up the episodes' rewards.

        Evidence counts in the order of the versions that made it, not of its arrival
        (arXiv 2608.24870). A new segment starts from the mean of its rewards, which is worth as many
        episodes as they weigh, and no more than `prior_count`. An episode of weight 2 is two of them.
        """
        for segment, indices in _by_stratum(episodes).items():
            ordered = sorted((episodes[i] for i in indices), key=_age)
            if segment not in self.segments:
                weight = math.fsum(one.weight for one in ordered)
                mean = math.fsum(one.weight * one.earned for one in ordered) / weight
                mean = min(max(mean, 0.0), 1.0)
                worth = min(weight, self.settings.prior_count)
                self.segments[segment] = SegmentCounts(
                    alpha=worth * mean, beta=worth * (1.0 - mean)
                )
                continue
            for one in ordered:
                self._take_up(segment, one.earned, one.weight)

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

    def _take_up(self, segment: str, reward: float, weight: float) -> None:
        """Take up one reward, in steps of a weight of at most 1.

        A step of weight w fades the evidence by rho^w and adds (1 - rho^w) / (1 - rho) of the reward:
        two of a half come to one whole.
        """
        evidence = self.segments[segment]
        while weight > 0.0:
            step, rho = min(weight, 1.0), self.rho(segment)
            kept = rho**step
            worth = (1.0 - kept) / (1.0 - rho)
            evidence.alpha = kept * evidence.alpha + worth * reward
            evidence.beta = kept * evidence.beta + worth * (1.0 - reward)
            evidence.drift *= 1.0 - step
            weight -= step

    def _faded(self, segment: str) -> tuple[float, float]:
        """Sum of rewards and number of episodes that the evidence from before is worth."""
        evidence, rho = self.segments[segment], self.rho(segment)
        return rho * evidence.alpha, rho * (evidence.alpha + evidence.beta)


def _equal(rewards: Sequence[float]) -> bool:
    """True where rewards differ by rounding alone, which Adam would make a whole step of."""
    return max(rewards) - min(rewards) < 1e-9


def _by_stratum(episodes: Sequence[SealedEpisode]) -> dict[str, list[int]]:
    found = defaultdict[str, list[int]](list)
    for index, episode in enumerate(episodes):
        found[episode.stratum].append(index)
    return found


def _age(episode: SealedEpisode) -> tuple[int, int]:
    """Order of evidence: oldest along the lineage first, then by the version's number."""
    try:
        return -episode.age, sequence_of(episode.version)
    except ValueError:  # a version of a foreign product has no number
        return -episode.age, 0
