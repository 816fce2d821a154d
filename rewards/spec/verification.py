"""Verification: how far the signals behind a reward are to be believed, as its spec says."""

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec

Half = Annotated[float, msgspec.Meta(ge=0.5, le=1.0)]
Share = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
Factor = Annotated[float, msgspec.Meta(gt=0.0, le=100.0)]


class TrustProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[trust.KIND]` of a spec: the verification profile of a kind of signal."""

    veracity: Half = 1.0
    """Probability that it says what is so; 0.5 is a coin, which says nothing."""
    proliferation: Share = 1.0
    """How widely it is recorded: the share of the answers worth it that get it."""
    asymmetry: Factor = 1.0
    """How much rarer and dearer the judge's expertise is than any user's."""

    @property
    def flip(self) -> float:
        """Probability e that it says the opposite."""
        return 1.0 - self.veracity

    @property
    def information(self) -> float:
        """(1 - 2e)^2: the precision of a noise-corrected binary signal, in units of one without noise.

        At a base rate of a half. Veracity 0.9: 0.64; 0.5: 0.
        """
        return (1.0 - 2.0 * self.flip) ** 2


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The same of one episode: means over its known parts, by what each weighs in the reward."""

    flip: float = 0.0
    """Probability that the reward says the opposite."""
    proliferation: float = 1.0
    """Probability that such an answer is judged at all."""
    asymmetry: float = 1.0
    """What its judge's word weighs."""


FULL = Verification()
"""Where the spec says nothing of the signals."""


def verification_of(profiles: Sequence[tuple[TrustProfile, float]]) -> Verification:
    """Return the weighted mean of profiles; without any, full trust."""
    total = math.fsum(weight for _, weight in profiles)
    if not total:
        return FULL

    def mean(values: Sequence[float]) -> float:
        pairs = zip(values, profiles, strict=True)
        return math.fsum(value * weight for value, (_, weight) in pairs) / total

    return Verification(
        flip=mean([one.flip for one, _ in profiles]),
        proliferation=mean([one.proliferation for one, _ in profiles]),
        asymmetry=mean([one.asymmetry for one, _ in profiles]),
    )


def corrected(reward: float, flip: float, base: float) -> tuple[float, float]:
    """Return a noisy reward freed of its bias, and what it weighs beside one without noise.

    With s the signal, e its flip rate, p the base rate of what is so and q = e + (1 - 2e) p that of the
    signal, u = (s - e) / (1 - 2e) is unbiased (Natarajan et al., NeurIPS 2013, lemma 1), and its inverse
    variance in units of that without noise is i = (1 - 2e)^2 p (1 - p) / (q (1 - q)). i (u - p) is what
    it may pull; i u + (1 - i) p is Bayes' estimate of what is so. It is given out as p + c (s - q), of
    weight i / (c (1 - 2e)): the largest c of at most 1 that keeps every reward in [0, 1].

    e 0.4 and p 0.2, so q 0.44: a reward of 1 becomes 0.4545, of 0 0, both of weight 0.2857.

    >>> [tuple(round(x, 4) for x in corrected(s, 0.4, 0.2)) for s in (1.0, 0.0)]
    [(0.4545, 0.2857), (0.0, 0.2857)]
    >>> corrected(0.75, 0.0, 0.2)
    (0.75, 1.0)
    """
    if flip <= 0.0:
        return reward, 1.0
    clear = 1.0 - 2.0 * flip
    if clear <= 1e-9:
        return base, 0.0
    seen = flip + clear * base
    scale = min(1.0, (1.0 - base) / (1.0 - seen), base / seen)
    weight = clear * base * (1.0 - base) / (seen * (1.0 - seen)) / scale
    return min(max(base + scale * (reward - seen), 0.0), 1.0), weight
