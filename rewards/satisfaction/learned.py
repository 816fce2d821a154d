"""LearnedReader: reads satisfaction from a next message, as a product's own decisions taught it."""

import hashlib
import io
import json
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from .agreement import Agreement
from .features import VERSION, WIDTH, matrix
from .message import NextMessage
from .reading import Reading, reading_of

NAME = "learned"


class ReaderEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader was made from, and how well it does on people whom it had not met."""

    labels: int
    """Messages beside decisions."""
    people: int
    """Who wrote them."""
    oldest: float
    """When the first of the answers was received, epoch seconds."""
    newest: float
    """When the last one was."""
    data: str
    """Digest of the messages and labels, hex."""
    held_out: Agreement
    """On messages of people who were kept from training."""


class LearnedReader(msgspec.Struct, frozen=True, kw_only=True, dict=True, eq=False):
    """Logistic regression over `features.py`, with Platt's calibration."""

    weights: Any
    """One a column, float64."""
    intercept: float
    """Added to their sum."""
    slope: float
    """The calibrated log-odds are this times the score,"""
    offset: float
    """plus this."""
    evidence: ReaderEvidence
    """What it was made from."""

    @cached_property
    def version(self) -> str:
        """`learned@` and 12 hex digits of a digest over weights, calibration and data window."""
        numbers = np.asarray([self.intercept, self.slope, self.offset], dtype=np.float64)
        told = hashlib.sha256(VERSION.encode())
        told.update(np.ascontiguousarray(self.weights, dtype=np.float64).tobytes())
        told.update(numbers.tobytes())
        window = (self.evidence.data, self.evidence.labels, self.evidence.oldest)
        told.update(repr((*window, self.evidence.newest)).encode())
        return f"{NAME}@{told.hexdigest()[:12]}"

    def read(self, messages: "list[NextMessage]") -> list[Reading]:
        """Return what each message says."""
        if not messages:
            return []
        scores = matrix(messages) @ self.weights + self.intercept
        chances = 1.0 / (1.0 + np.exp(-np.clip(self.slope * scores + self.offset, -30.0, 30.0)))
        return [reading_of(float(chance)) for chance in chances]

    def to_bytes(self) -> bytes:
        """Return the reader as a file (npz; numbers and JSON, and nothing that is run when read)."""
        held = io.BytesIO()
        told = msgspec.json.encode(self.evidence)
        np.savez_compressed(
            held,
            weights=np.asarray(self.weights, dtype=np.float64),
            numbers=np.asarray([self.intercept, self.slope, self.offset], dtype=np.float64),
            about=np.frombuffer(json.dumps({"features": VERSION}).encode(), dtype=np.uint8),
            evidence=np.frombuffer(told, dtype=np.uint8),
        )
        return held.getvalue()


def reader_of(raw: bytes) -> LearnedReader:
    """Return a reader from its file; raises ValueError where it is none, or of other features."""
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as held:
            about = json.loads(held["about"].tobytes())
            weights, numbers = held["weights"], held["numbers"]
            evidence = msgspec.json.decode(held["evidence"].tobytes(), type=ReaderEvidence)
    except Exception as problem:
        raise ValueError(f"is no reader: {problem}") from problem
    if about.get("features") != VERSION or weights.shape != (WIDTH,) or numbers.shape != (3,):
        raise ValueError("is a reader of another rlwd's features")
    if not (np.isfinite(weights).all() and np.isfinite(numbers).all()):
        raise ValueError("is no reader: its weights are not finite")
    intercept, slope, offset = map(float, numbers)
    return LearnedReader(
        weights=weights, intercept=intercept, slope=slope, offset=offset, evidence=evidence
    )
