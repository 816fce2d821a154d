"""Features of a message: hashed words and runs of characters, what the rules find, and likeness.

Words alone know no language that is written without spaces: of a Chinese sentence they see one word
that nobody wrote before. Runs of characters know them all.
"""

import math
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

from ...streams.events.judged import Finding, WorkStatement
from .findings import findings
from .message import NextMessage, shortened
from .statements import statements
from .words import likeness, words

HASHED = 1 << 14
"""Buckets of words and pairs of words, and as many of runs of characters."""
RUN = (1, 3)
"""Shortest and longest run of characters."""
HASHED_CHARACTERS = 2_000
"""What of a message is hashed: its beginning, and of a longer one its end too."""
FINDINGS: tuple[str, ...] = get_args(Finding)
STATEMENTS: tuple[str, ...] = get_args(WorkStatement)
TOLD = len(FINDINGS) + len(STATEMENTS) + 8
WIDTH = 2 * HASHED + TOLD
VERSION = "2"
"""Of what is computed here: weights of another are of no use."""


def matrix(messages: Sequence[NextMessage]) -> Any:
    """Return a sparse matrix, a row for each message, `WIDTH` columns (CSR, float64)."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import HashingVectorizer

    texts = [shortened(message.text, HASHED_CHARACTERS) for message in messages]
    # Half of a row's length each, so that neither drowns the other.
    spoken = HashingVectorizer(
        n_features=HASHED,
        ngram_range=(1, 2),
        alternate_sign=False,
        norm="l2",
        token_pattern=r"(?u)\b\w+\b|[!?\uff01\uff1f]",
    ).transform(texts)
    written = HashingVectorizer(
        n_features=HASHED, analyzer="char_wb", ngram_range=RUN, alternate_sign=False, norm="l2"
    ).transform(texts)
    told = np.array([_told(message) for message in messages], dtype=np.float64)
    return hstack([spoken, written, csr_matrix(told)], format="csr")


def _told(message: NextMessage) -> list[float]:
    text, found, said = message.text, findings(message), statements(message.text)
    count = len(words(text))
    cased = [one for one in text if one.isupper() or one.islower()]
    loud = sum(one.isupper() for one in cased) / len(cased) if len(cased) > 5 else 0.0
    return [
        *(float(one in found) for one in FINDINGS),
        *(float(one in said) for one in STATEMENTS),
        likeness(text, message.request),
        likeness(text, message.answer),
        math.log1p(count) / 5.0,
        float(count <= 3),
        float("?" in text or "\uff1f" in text),
        float("```" in text or "\n    " in text),
        float("!" in text or "\uff01" in text),
        loud,
    ]
