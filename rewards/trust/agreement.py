"""Agreement: whether somebody's decisions are those that other people's decisions make likely.

What others took and turned down in a segment is regressed on what the answers look like: ridge, on the
counts of their tokens and pairs of tokens, hashed. In the fit each user has one vote over the remembered
batches, however much he decided, and nobody's own decisions predict his own: the users are in folds, by
a hash of their name. With r a decision, m what others' decisions are on average and d by how much they
are likelier than that to take this answer, the user's agreement is S = sum of (r - m) d. Somebody who
decides without regard to the answer has a mean of 0 and a variance V = sum of var(r) d^2, so that
z = S / sqrt(V) says how sure it is that he wants what others want. How strict he is hardly matters to it.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from .evidence import Evidence

Floats = NDArray[np.float64]

FEWEST = 30
"""Answers of a segment in a batch below which nothing predicts them."""
FOLDS = 4
BUCKETS = 256
"""Features that tokens and pairs of them are hashed to."""
TAIL = 256
"""Tokens at the end of an answer that are looked at."""
RIDGE = 2.0
"""Votes that the prior of no difference is worth."""
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)


class Agreed(NamedTuple):
    """How far decisions agree with others'."""

    score: float = 0.0
    """S."""
    variance: float = 0.0
    """V; 0 where nothing is known."""

    def with_more(self, other: "Agreed") -> "Agreed":
        """Return that of both."""
        return Agreed(self.score + other.score, self.variance + other.variance)

    @property
    def sureness(self) -> float | None:
        """z: standard errors from no agreement; below 0 they contradict others. None where unknown."""
        return self.score / self.variance**0.5 if self.variance > 0.0 else None

    def belief(self, sure: float) -> float:
        """Return 0 up to half of `sure` standard errors, 1 from `sure` on, and linearly between them."""
        z = self.sureness
        return 0.0 if z is None or not sure else min(max(2.0 * z / sure - 1.0, 0.0), 1.0)


def agreements(batch: Sequence[Evidence], before: Mapping[Hashable, int]) -> list[Agreed]:
    """Return what each decision adds to the agreement of its user.

    `before` has how many decisions each user has in the batches that are remembered.
    """
    found, counts = [Agreed()] * len(batch), Counter(one.user for one in batch)
    votes = np.array(
        [1.0 / (counts[one.user] + before.get(one.user, 0)) if one.user else 1.0 for one in batch]
    )
    folds = np.array([_fold(place, one.user) for place, one in enumerate(batch)])
    segments = defaultdict[str, list[int]](list)
    for place, one in enumerate(batch):
        segments[one.segment].append(place)
    for places in segments.values():
        if len(places) < FEWEST:
            continue
        features = np.stack([_features(batch[place].completion) for place in places])
        rewards = np.array([batch[place].reward for place in places])
        told = _cross_fitted(features, rewards, votes[places], folds[places])
        for place, agreed in zip(places, told, strict=True):
            found[place] = agreed
    return found


def _cross_fitted(x: Floats, r: Floats, votes: Floats, folds: NDArray[np.int64]) -> list[Agreed]:
    """Return the agreement of each decision with those of the other folds."""
    found = [Agreed()] * len(r)
    for fold in range(FOLDS):
        own, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if not len(own) or not len(others):
            continue
        weights = votes[others]
        mean_x = np.average(x[others], axis=0, weights=weights)
        mean_r = float(np.average(r[others], weights=weights))
        spread = float(np.average((r[others] - mean_r) ** 2, weights=weights))
        centred = x[others] - mean_x
        size = float(np.average((centred**2).sum(axis=1), weights=weights))
        if spread < 1e-9 or size < 1e-9:
            continue
        weighted = centred * weights[:, None]
        gram = weighted.T @ centred + RIDGE * size * np.eye(x.shape[1])
        likelier = (x[own] - mean_x) @ np.linalg.solve(gram, weighted.T @ (r[others] - mean_r))
        for place, by in zip(own.tolist(), likelier.tolist(), strict=True):
            found[place] = Agreed((float(r[place]) - mean_r) * by, spread * by * by)
    return found


def _features(completion: Sequence[int]) -> Floats:
    """Return the square roots of hashed counts, of length 1."""
    tokens = np.array(completion[-TAIL:], dtype=np.uint64) + np.uint64(1)
    pairs = tokens[:-1] * _FACTORS[0] + tokens[1:] * _FACTORS[1]
    mixed = np.concatenate([tokens * _FACTORS[0], pairs])
    mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    places = ((mixed >> np.uint64(40)) % np.uint64(BUCKETS)).astype(np.int64)
    counts = np.sqrt(np.bincount(places, minlength=BUCKETS).astype(np.float64))
    length = float(np.sqrt(counts @ counts))
    return counts / length if length else counts


def _fold(place: int, user: tuple[str, str] | None) -> int:
    return crc32("\0".join(user).encode()) % FOLDS if user else place % FOLDS
