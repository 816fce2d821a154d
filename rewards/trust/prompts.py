"""Prompts that are alike: each prompt of a batch in a cluster, by a sketch of its token ids.

A prompt is the set of its runs of three tokens, of the last 256: what a person said stands at the end.
Runs that half of the batch has, as of a system prompt, tell none apart and are left out. The sketch is
the three least hashes of the set (bottom-k MinHash, Broder 1997): two prompts of likeness J (Jaccard)
share it with a probability of about J^3. It needs no text, and is the same on every machine.
"""

from collections.abc import Sequence
from itertools import chain

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
    runs = _runs(prompts)
    if not runs:
        return []
    together = np.concatenate(runs)
    known, counts = np.unique(together, return_counts=True)
    common = known[counts > max(COMMON * len(runs), 1.0)]
    ends = np.cumsum([len(own) for own in runs])
    rare = np.split(~np.isin(together, common), ends[:-1])
    return [
        tuple(own[is_rare][:LEAST_HASHES].tolist()) for own, is_rare in zip(runs, rare, strict=True)
    ]


def _runs(prompts: Sequence[Sequence[int]]) -> list[NDArray[np.uint64]]:
    """Return the sorted hashes of each prompt's runs, each once."""
    tails = [tuple(prompt[-TAIL:]) for prompt in prompts]
    sizes = np.array([max(len(tail), RUN) for tail in tails], dtype=np.int64)
    if not len(sizes):
        return []
    # A token is its id and 1, and 0 fills up what is shorter than a run.
    padded = np.zeros(int(sizes.sum()), dtype=np.uint64)
    begins = np.cumsum(sizes) - sizes
    given = np.array([len(tail) for tail in tails], dtype=np.int64)
    at = np.repeat(begins - (np.cumsum(given) - given), given) + np.arange(given.sum())
    padded[at] = np.fromiter(chain.from_iterable(tails), np.uint64, int(given.sum())) + np.uint64(1)
    mixed = padded[:-2] * _FACTORS[0] + padded[1:-1] * _FACTORS[1] + padded[2:] * _FACTORS[2]
    # The finaliser of SplitMix64 (Steele, Lea and Flood 2014): sums of products alone are not spread.
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    # Runs over the edge of two prompts are of neither.
    return [
        np.unique(mixed[begin : begin + size - RUN + 1])
        for begin, size in zip(begins.tolist(), sizes.tolist(), strict=True)
    ]
