"""Tracker: what a segment's answers earn on average, tracked from one answer per prompt.

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
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from torch import Tensor

from ..sealed import SealedEpisode
from ..settings import LearnerSettings
from .segment_counts import SegmentCounts, by_age, segment_of
from .sessions import sessions
from .spread import by_stratum

Sums = tuple[float, float]
"""Sum of rewards and number of episodes that it is of."""


@dataclass(slots=True)
class Tracker:
    """Baselines of all segments."""

    settings: LearnerSettings
    segments: dict[str, SegmentCounts]
    """By stratum."""

    def baselines(
        self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None = None
    ) -> list[float | None]:
        """Return what each episode was expected to earn, by all that is known but its session's rewards.

        That is the faded evidence from before and the batch's other rewards of the stratum, each by
        its weight, and `parent_count` episodes k that earn what its parent v does:
        (rho a + sum of others + k v) / (rho (a + b) + their weight + k). Leaving out its own and its
        session's (`sessions`), whatever they weigh, keeps the gradient unbiased.
        The parent of a segment under one harness is the segment under the others, and that one's is
        all other segments: the more a stratum has of its own, the less it borrows.
        With a = b = 4, rho 0.875, no parent and rewards (1, 0): (3.5 + 0) / 8 and (3.5 + 1) / 8.
        With two others that earn 1, k = 2 and nothing else known, a first answer's is 1.
        None where nothing at all is known but its own.
        """
        found = list[float | None]([None] * len(episodes))
        grouped = by_stratum(episodes)
        usual = self._parents(episodes, grouped)
        apart, others = self._apart(episodes, grouped)
        k = self.settings.parent_count
        for stratum, indices in grouped.items():
            total, count = _batch_sums(episodes, indices)
            if stratum in self.segments:
                counts = self.segments[stratum]
                rho = counts.rho(self.settings)
                total, count = total + rho * counts.alpha, count + rho * counts.count
            for index in indices:
                mine = apart.get(index, [index])
                own = _batch_sums(episodes, [i for i in mine if episodes[i].stratum == stratum])
                parent = others.get(index, usual)[stratum]
                known = (total, count) if parent is None else (total + k * parent, count + k)
                found[index] = _mean(_without(known, own))
        return found

    def observe(self, episodes: Sequence[SealedEpisode], states_ND: Tensor | None = None) -> None:
        """Take up the episodes' rewards.

        A new stratum starts from the mean of its rewards, which is worth as many episodes as they
        weigh, and no more than `prior_count`. An episode of weight 2 is two of them.
        """
        for stratum, indices in by_stratum(episodes).items():
            if stratum not in self.segments:
                total, weight = _batch_sums(episodes, indices)
                mean = min(max(total / weight, 0.0), 1.0)
                worth = min(weight, self.settings.prior_count)
                self.segments[stratum] = SegmentCounts(
                    alpha=worth * mean,
                    beta=worth * (1.0 - mean),
                    segment=episodes[indices[0]].segment,
                )
                continue
            for index in by_age(episodes, indices):
                one = episodes[index]
                self.segments[stratum].take_up(one.earned, one.weight, self.settings)

    def moved(self, by_segment: Mapping[str, float], otherwise: float) -> None:
        """Record how far an update moved the policy: per stratum where measured."""
        for stratum, counts in self.segments.items():
            counts.drift += by_segment.get(stratum, otherwise)

    def to_json(self) -> bytes:
        """Write the tracker; `from_json` gives it back exactly."""
        return msgspec.json.encode(self.segments, order="sorted")

    @classmethod
    def from_json(cls, raw: bytes, settings: LearnerSettings) -> "Tracker":
        """Read a tracker."""
        return cls(settings, msgspec.json.decode(raw, type=dict[str, SegmentCounts]))

    def _apart(
        self, episodes: Sequence[SealedEpisode], grouped: Mapping[str, Sequence[int]]
    ) -> tuple[dict[int, list[int]], dict[int, dict[str, float | None]]]:
        """Return each episode's session, and the parents without it where it is of several strata."""
        apart, parents = dict[int, list[int]](), dict[int, dict[str, float | None]]()
        for mine in sessions(episodes, range(len(episodes))):
            apart |= dict.fromkeys(mine, mine)
            if len({episodes[index].stratum for index in mine}) > 1:
                parents |= dict.fromkeys(mine, self._parents(episodes, grouped, set(mine)))
        return apart, parents

    def _parents(
        self,
        episodes: Sequence[SealedEpisode],
        grouped: Mapping[str, Sequence[int]],
        without: Container[int] = (),
    ) -> dict[str, float | None]:
        """Return what the parent of each of the batch's strata earns; None where none is known.

        Evidence of strata that are not seen any more fades with the drift alone, without an end.
        """
        sums = dict[str, Sums]()
        segments = {stratum: episodes[ids[0]].segment for stratum, ids in grouped.items()}
        for stratum, counts in self.segments.items():
            fresh = counts.freshness(self.settings)
            sums[stratum] = (fresh * counts.alpha, fresh * counts.count)
            segments.setdefault(stratum, segment_of(stratum, counts))
        for stratum, indices in grouped.items():
            ours = _batch_sums(episodes, [index for index in indices if index not in without])
            sums[stratum] = _added(ours, sums.get(stratum, (0.0, 0.0)))
        by_segment = defaultdict[str, list[Sums]](list)
        for stratum, own in sums.items():
            by_segment[segments[stratum]].append(own)
        of_segment = {name: _added(*parts) for name, parts in by_segment.items()}
        everything = _added(*of_segment.values())
        found = dict[str, float | None]()
        for stratum in grouped:
            whole = of_segment[segments[stratum]]
            rest = _mean(_without(everything, whole))
            total, count = _without(whole, sums[stratum])
            if rest is not None:
                total += self.settings.parent_count * rest
                count += self.settings.parent_count
            found[stratum] = _mean((total, count))
        return found


def _batch_sums(episodes: Sequence[SealedEpisode], indices: Sequence[int]) -> Sums:
    chosen = [episodes[index] for index in indices]
    return math.fsum(e.weight * e.earned for e in chosen), math.fsum(e.weight for e in chosen)


def _added(*parts: Sums) -> Sums:
    return math.fsum(total for total, _ in parts), math.fsum(count for _, count in parts)


def _without(whole: Sums, part: Sums) -> Sums:
    return whole[0] - part[0], whole[1] - part[1]


def _mean(sums: Sums) -> float | None:
    return sums[0] / sums[1] if sums[1] > 1e-9 else None
