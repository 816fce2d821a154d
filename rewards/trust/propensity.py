"""Propensity: those who answered stand for those who would have, by how likely they were to.

Inverse propensity weights with a floor, self-normalised over a batch (Swaminathan and Joachims, NeurIPS
2015): w_i = 1 / max(p_i, floor), divided by their mean. Where a product says with which probability it
asked, that is p; else p is the proliferation of the signals, as the spec has it, times what a model of
who answers at all says, where that is on.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .evidence import Evidence

Floats = NDArray[np.float64]

RIDGE = 1.0
"""Prior precision of the response model's coefficients: it knows nothing without evidence."""
STEPS = 25
FEWEST = 200
"""ResponseFeatures, with and without feedback, below which no response model is fitted."""


def inverse_weights(probabilities: Sequence[float], floor: float) -> list[float]:
    """Return self-normalised inverse probabilities: their mean is 1.

    >>> inverse_weights([1.0, 0.5, 0.001], 0.25)
    [0.42857142857142855, 0.8571428571428571, 1.7142857142857142]
    """
    raw = [1.0 / max(one, floor) for one in probabilities]
    mean = sum(raw) / max(len(raw), 1)
    return [one / mean for one in raw]


def ask_probability(one: Evidence) -> float:
    """Return the probability that somebody was asked, or is heard of, about an answer."""
    return one.verification.proliferation if one.asked is None else one.asked


class ResponseModel:
    """Logistic regression of whether an answer got a decision, on what was so before anybody decided.

    Features: segment, and within all of them the logarithms of latency and length, and the hour of the
    day as sine and cosine. Ridge-penalised maximum likelihood by Newton's method.
    """

    def __init__(self, segments: Sequence[str], coefficients: Floats) -> None:
        self.segments, self.coefficients = segments, coefficients

    @classmethod
    def fit(cls, answers: "ResponseFeatures", decided: Sequence[bool]) -> "ResponseModel | None":
        """Fit on answers whose time to be decided on is over; None where they are too few or alike."""
        told = np.asarray(decided, dtype=np.float64)
        if len(told) < FEWEST or told.min() == told.max():
            return None
        segments = sorted(set(answers.segments))
        design = _design(answers, segments)
        beta = np.zeros(design.shape[1])
        penalty = np.full(design.shape[1], RIDGE)
        penalty[: len(segments)] = 1e-3  # A segment's own rate is not drawn to a half.
        for _ in range(STEPS):
            chance = _logistic(design @ beta)
            slope = design.T @ (told - chance) - penalty * beta
            curve = (design * (chance * (1.0 - chance))[:, None]).T @ design + np.diag(penalty)
            step = np.linalg.solve(curve, slope)
            beta = beta + step
            if float(np.abs(step).max()) < 1e-8:
                break
        return cls(segments, beta)

    def probabilities(self, answers: "ResponseFeatures") -> list[float]:
        """Return how likely each of these answers was to be decided on; 1 in a segment never seen."""
        chance = _logistic(_design(answers, self.segments) @ self.coefficients)
        known = set(self.segments)
        return [
            float(one) if segment in known else 1.0
            for one, segment in zip(chance, answers.segments, strict=True)
        ]


class ResponseFeatures:
    """What the response model reads of answers, decided on or not."""

    def __init__(
        self,
        segments: Sequence[str],
        latency: Sequence[float],
        tokens: Sequence[float],
        answered_at: Sequence[float],
    ) -> None:
        """Latencies in seconds and answers' lengths, 0 where unknown; times in epoch seconds."""
        self.segments = segments
        self.latency = np.log(np.maximum(np.asarray(latency, dtype=np.float64), 1e-3))
        self.tokens = np.log1p(np.asarray(tokens, dtype=np.float64))
        self.hour = 2.0 * np.pi * (np.asarray(answered_at, dtype=np.float64) % 86400.0) / 86400.0


def _design(answers: ResponseFeatures, segments: Sequence[str]) -> Floats:
    own = np.array(
        [[one == name for name in segments] for one in answers.segments], dtype=np.float64
    )
    rest = np.stack(
        [answers.latency, answers.tokens, np.sin(answers.hour), np.cos(answers.hour)], axis=1
    )
    return np.hstack([own.reshape(len(answers.segments), len(segments)), rest])


def _logistic(values: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -30.0, 30.0)))
