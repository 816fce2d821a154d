"""Brief: a reward part of one's own. Installed beside rlwd, a spec weighs it by its name."""

from typing import Any

LONG = 200
"""Tokens from which on an answer is worth nothing to this part."""


def brief(episode: Any) -> float | None:
    """Return 1 for an empty answer and 0 from `LONG` tokens on; None where tokens are unknown.

    A pure function: the same episode always gives the same number, or a replay would not.
    """
    tokens = episode.generation.completion_token_ids
    return None if tokens is None else max(0.0, 1.0 - len(tokens) / LONG)
