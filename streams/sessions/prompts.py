"""Prompts: of a turn's prompt only what its base lacks is kept, and given back whole, bit for bit.

A prompt of a conversation begins with all that was said before. Kept whole, a session of n turns
costs its length times n; so of each turn only the tokens are kept that its base, the turn that it goes
on from, does not have already in its own prompt and answer.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple


class KeptTokens(NamedTuple):
    """What is kept of one generation's tokens."""

    base: str | None
    """The generation whose tokens its prompt begins with; None where it is whole."""
    shared: int
    """How many of its tokens."""
    prompt: Sequence[int] | None
    """The prompt's other tokens; None where it was never captured."""
    completion: Sequence[int]
    """The answer's tokens; empty where they were not captured."""


def shared_length(prompt: Sequence[int], base: Sequence[int]) -> int:
    """Return how many tokens both begin with.

    >>> shared_length((1, 2, 3, 9), (1, 2, 3, 4, 5))
    3
    """
    low, high = 0, min(len(prompt), len(base))
    # Halving: slices are compared at the speed of memory, single tokens are not.
    while low < high:
        middle = (low + high + 1) // 2
        if prompt[low:middle] == base[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def whole_prompt(name: str, kept: Mapping[str, KeptTokens]) -> tuple[int, ...] | None:
    """Return the prompt of a generation; `kept` has all its bases, too.

    Of each base only the tokens are taken that are wanted: the first ones of its prompt and answer.
    """
    own = kept[name]
    if own.prompt is None:
        return None
    pieces, wanted, at = [own.prompt], own.shared, own.base
    while at is not None and wanted:
        base = kept[at]
        prompt = base.prompt or ()
        of_answer = max(0, wanted - base.shared - len(prompt))
        assert of_answer <= len(base.completion), f"{at} has lost tokens that others begin with"
        pieces.append(base.completion[:of_answer])
        pieces.append(prompt[: max(0, wanted - base.shared)])
        wanted, at = min(wanted, base.shared), base.base
    return tuple(chain.from_iterable(reversed(pieces)))
