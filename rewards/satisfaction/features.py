"""Features of a message: hashed words and pairs of words, what the rules find, and likeness."""

import math
import re
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

from ...streams.events.judged import Finding, WorkStatement
from .findings import findings
from .message import NextMessage
from .statements import statements
from .words import likeness, words

HASHED = 1 << 14
"""Buckets of words and pairs of words."""
FINDINGS: tuple[str, ...] = get_args(Finding)
STATEMENTS: tuple[str, ...] = get_args(WorkStatement)
TOLD = len(FINDINGS) + len(STATEMENTS) + 8
WIDTH = HASHED + TOLD
VERSION = "1"
"""Of what is computed here: weights of another are of no use."""

_LETTERS = re.compile(r"[A-Za-z]")


def matrix(messages: Sequence[NextMessage]) -> Any:
    """Return a sparse matrix, a row for each message, `WIDTH` columns (CSR, float64)."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import HashingVectorizer

    hashed = HashingVectorizer(
        n_features=HASHED,
        ngram_range=(1, 2),
        alternate_sign=False,
        norm="l2",
        token_pattern=r"(?u)\b\w+\b|[!?]",
    ).transform([message.text for message in messages])
    told = np.array([_told(message) for message in messages], dtype=np.float64)
    return hstack([hashed, csr_matrix(told)], format="csr")


def _told(message: NextMessage) -> list[float]:
    text, found, said = message.text, findings(message), statements(message.text)
    count = len(words(text))
    letters = _LETTERS.findall(text)
    loud = sum(one.isupper() for one in letters) / len(letters) if len(letters) > 5 else 0.0
    return [
        *(float(one in found) for one in FINDINGS),
        *(float(one in said) for one in STATEMENTS),
        likeness(text, message.request),
        likeness(text, message.answer),
        math.log1p(count) / 5.0,
        float(count <= 3),
        float("?" in text),
        float("```" in text or "\n    " in text),
        float("!" in text),
        loud,
    ]
