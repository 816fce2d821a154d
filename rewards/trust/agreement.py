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
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from .evidence import Evidence

Floats = NDArray[np.float64]

FEWEST = 30
"""Answers of a segment in a batch below which nothing predicts them."""
FOLDS = 4
AT_ONCE = 8192
"""Answers whose features are held at once: 16 MB."""
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
    salt = _salt(batch)
    folds = np.array([_fold(place, one.user, int(salt)) for place, one in enumerate(batch)])
    segments = defaultdict[str, list[int]](list)
    for place, one in enumerate(batch):
        segments[one.segment].append(place)
    for places in segments.values():
        if len(places) < FEWEST:
            continue
        completions = [batch[place].completion for place in places]
        rewards = np.array([batch[place].reward for place in places])
        told = _cross_fitted(completions, rewards, votes[places], folds[places], salt)
        for place, agreed in zip(places, told, strict=True):
            found[place] = agreed
    return found


class _Sums:
    """Sums over the answers of a fold, of which least squares over other folds are made."""

    def __init__(self) -> None:
        self.votes = self.r = self.rr = 0.0
        self.x, self.xr = np.zeros(BUCKETS), np.zeros(BUCKETS)
        self.xx = np.zeros((BUCKETS, BUCKETS))

    def add(self, x: Floats, r: Floats, votes: Floats) -> None:
        """Take answers in: what they look like, what they are worth, and their votes."""
        weighted = x * votes[:, None]
        self.votes += float(votes.sum())
        self.r += float(votes @ r)
        self.rr += float(votes @ (r * r))
        self.x += weighted.sum(axis=0)
        self.xr += weighted.T @ r
        self.xx += weighted.T @ x

    def taken(self, other: "_Sums", sign: float) -> None:
        """Take what another one has in, or out again."""
        for name in ("votes", "r", "rr", "x", "xr", "xx"):
            setattr(self, name, getattr(self, name) + sign * getattr(other, name))


class _Fit(NamedTuple):
    """What the answers of some folds say of any."""

    mean_x: Floats
    mean_r: float
    spread: float
    slope: Floats


def _fit(sums: _Sums) -> _Fit | None:
    """Return ridge about the means; None where there is nothing to tell answers apart by."""
    if sums.votes <= 0.0:
        return None
    mean_x, mean_r = sums.x / sums.votes, sums.r / sums.votes
    spread = sums.rr / sums.votes - mean_r * mean_r
    gram = sums.xx - sums.votes * np.outer(mean_x, mean_x)
    size = float(np.trace(gram)) / sums.votes
    if spread < 1e-9 or size < 1e-9:
        return None
    gram.flat[:: BUCKETS + 1] += RIDGE * size
    slope = np.linalg.solve(gram, sums.xr - sums.votes * mean_r * mean_x)
    return _Fit(mean_x, mean_r, spread, slope.astype(np.float64, copy=False))


def _cross_fitted(
    completions: Sequence[Sequence[int]],
    r: Floats,
    votes: Floats,
    folds: NDArray[np.int64],
    salt: np.uint64,
) -> list[Agreed]:
    """Return the agreement of each decision with those of the other folds.

    Features are made anew for each use, so many answers at a time: all of a great batch would take 2 kB
    an answer, several times over.
    """
    pieces = [slice(begin, begin + AT_ONCE) for begin in range(0, len(r), AT_ONCE)]
    looks = _features(completions, salt) if len(pieces) == 1 else None
    sums, whole = [_Sums() for _ in range(FOLDS)], _Sums()
    for piece in pieces:
        x = looks if looks is not None else _features(completions[piece], salt)
        for fold, own in enumerate(sums):
            at = np.flatnonzero(folds[piece] == fold)
            if len(at):
                own.add(x[at], r[piece][at], votes[piece][at])
    for one in sums:
        whole.taken(one, 1.0)
    fits = list[_Fit | None]()
    for one in sums:
        whole.taken(one, -1.0)
        fits.append(_fit(whole) if one.votes else None)
        whole.taken(one, 1.0)
    found = [Agreed()] * len(r)
    for piece in pieces:
        x = looks if looks is not None else _features(completions[piece], salt)
        for fold, fit in enumerate(fits):
            at = np.flatnonzero(folds[piece] == fold)
            if fit is None or not len(at):
                continue
            likelier = ((x[at] - fit.mean_x) @ fit.slope).tolist()
            for place, by in zip((piece.start + at).tolist(), likelier, strict=True):
                found[place] = Agreed((float(r[place]) - fit.mean_r) * by, fit.spread * by * by)
    return found


def _salt(batch: Sequence[Evidence]) -> np.uint64:
    """Return what hashes of this batch are mixed with: nobody can know it before the batch is there.

    Who knew the hash could write what falls together with what people like. Of the times at which all
    answers of the batch were received, in any order, so that sealing again says the same.
    """
    times = np.sort(np.array([one.answered_at for one in batch], dtype=np.float64))
    return np.uint64(int.from_bytes(blake2b(times.tobytes(), digest_size=8).digest(), "little"))


def _features(completions: Sequence[Sequence[int]], salt: np.uint64) -> Floats:
    """Return the square roots of each answer's hashed counts, each row of length 1."""
    tails = [completion[-TAIL:] for completion in completions]
    sizes = np.array([len(tail) for tail in tails])
    tokens = np.fromiter(chain.from_iterable(tails), np.uint64, int(sizes.sum())) + np.uint64(1)
    of = np.repeat(np.arange(len(tails)), sizes)
    inside = of[:-1] == of[1:]
    pairs = (tokens[:-1] * _FACTORS[0] + tokens[1:] * _FACTORS[1])[inside]
    mixed = np.concatenate([tokens * _FACTORS[0], pairs]) ^ salt
    mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    places = ((mixed >> np.uint64(40)) % np.uint64(BUCKETS)).astype(np.int64)
    places += BUCKETS * np.concatenate([of, of[:-1][inside]])
    counts = np.bincount(places, minlength=BUCKETS * len(tails)).reshape(len(tails), BUCKETS)
    found: Floats = np.sqrt(counts.astype(np.float64))
    length = np.sqrt(np.einsum("ij,ij->i", found, found))
    found /= np.where(length > 0.0, length, 1.0)[:, None]
    return found


def _fold(place: int, user: tuple[str, str] | None, salt: int) -> int:
    return crc32("\0".join(user).encode(), salt & 0xFFFFFFFF) % FOLDS if user else place % FOLDS
