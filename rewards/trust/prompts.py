"""Prompts that are alike: each prompt of a batch in a cluster, by a sketch of its token ids.

A prompt is the set of its runs of three tokens, of the last 256: what a person said stands at the end.
Runs that half of the batch has, as of a system prompt, tell none apart and are left out. The sketch is
the three least hashes of the set (bottom-k MinHash, Broder 1997): two prompts of likeness J (Jaccard)
share it with a probability of about J^3. It needs no text, and is the same on every machine.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TAIL = 256
RUN = 3
LEAST_HASHES = 3
COMMON = 0.5
"""Share of a batch's prompts from which on a run tells none apart."""
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)

Cluster = tuple[int, ...]


def prompt_clusters(prompts: Sequence[Sequence[int]]) -> list[Cluster]:
    """Return the cluster of each prompt: equal where they are alike.

    A prompt all of whose runs are common to the batch is in the cluster of all such prompts.
    """
    runs = [_runs(prompt) for prompt in prompts]
    if not runs:
        return []
    known, counts = np.unique(np.concatenate(runs), return_counts=True)
    common = known[counts > max(COMMON * len(runs), 1.0)]
    return [
        tuple(int(one) for one in np.setdiff1d(own, common, assume_unique=True)[:LEAST_HASHES])
        for own in runs
    ]


def _runs(prompt: Sequence[int]) -> NDArray[np.uint64]:
    """Return the sorted hashes of a prompt's runs, each once."""
    tail = np.array(prompt[-TAIL:], dtype=np.uint64) + np.uint64(1)
    padded = np.concatenate([tail, np.zeros(max(0, RUN - len(tail)), dtype=np.uint64)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, RUN)
    mixed = (windows * _FACTORS).sum(axis=1, dtype=np.uint64)
    # The finaliser of SplitMix64 (Steele, Lea and Flood 2014): sums of products alone are not spread.
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.unique(mixed ^ (mixed >> np.uint64(31)))
