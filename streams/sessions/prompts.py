"""Prompts: of a turn's prompt only what its base lacks is kept, and given back whole, bit for bit.

A prompt of a conversation begins with all that was said before. Kept whole, a session of n turns
costs its length times n; so of each turn only the tokens are kept that its base, the turn that it goes
on from, does not have already in its own prompt and answer.
"""

from collections.abc import Mapping, Sequence
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


def whole_prompts(
    wanted: Sequence[str], kept: Mapping[str, KeptTokens]
) -> dict[str, tuple[int, ...] | None]:
    """Return the prompts of these generations; `kept` has all their bases, too."""
    found = dict[str, tuple[int, ...] | None]()
    for name in wanted:
        way = [name]
        while way[-1] not in found and (base := kept[way[-1]].base) is not None:
            way.append(base)
        for each in reversed(way):
            if each not in found:
                found[each] = _whole(kept[each], kept, found)
    return {name: found[name] for name in wanted}


def _whole(
    one: KeptTokens,
    kept: Mapping[str, KeptTokens],
    found: Mapping[str, tuple[int, ...] | None],
) -> tuple[int, ...] | None:
    if one.prompt is None or one.base is None:
        return None if one.prompt is None else tuple(one.prompt)
    before = (*(found[one.base] or ()), *kept[one.base].completion)
    assert len(before) >= one.shared, f"{one.base} has lost tokens that others begin with"
    return (*before[: one.shared], *one.prompt)
