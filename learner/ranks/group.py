"""Group: the processes that make one learner's update together, and all that they tell one another.

Every rank reads the same batch and decides alike; only the packs that go through the model are dealt.
What one of them worked out reaches the others bit for bit, so that no two ever decide differently.
With one process nothing is dealt, sent or added, and every sum has the bits that it always had.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed

Key = TypeVar("Key", str, int)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process's place among them; without any other it is rank 0 of 1."""

    rank: int = 0
    """0 holds the daemon's pipe and the folder's lock, and writes."""
    size: int = 1
    """How many there are."""

    @property
    def writes(self) -> bool:
        """Whether files are this one's to write."""
        return self.rank == 0

    def room(self, tokens: int, most: int) -> int:
        """Return how many tokens a pack may have, so that all ranks have about as much to do.

        5,000 tokens at 2,000 a pack between two ranks: two rounds of two packs of 1,250.
        """
        if self.size == 1:
            return most
        rounds = max(1, math.ceil(tokens / (most * self.size)))
        return max(1, math.ceil(tokens / (rounds * self.size)))

    def dealt(self, groups: Sequence[list[int]]) -> list[tuple[list[int], bool]]:
        """Return this rank's of the groups, and whether each counts here.

        All ranks get as many, since they go through a sharded model together: who has none left gets
        the first once more, and it counts for nothing.
        """
        ours = [(group, True) for group in groups[self.rank :: self.size]]
        rounds = -(-len(groups) // self.size)
        return ours + [(group, False) for group in groups[:1]] * (rounds - len(ours))

    def begun(self, sums: Mapping[Key, float]) -> dict[Key, float]:
        """Return what sums go on from: those so far on one rank, and nothing on the others."""
        return defaultdict(float, sums if self.rank == 0 else dict.fromkeys(sums, 0.0))

    def summed(self, sums: Mapping[Key, float]) -> dict[Key, float]:
        """Return the sums over all ranks, which have the same keys."""
        if self.size == 1 or not sums:
            return defaultdict(float, sums)
        names = sorted(sums)
        total = torch.tensor([sums[name] for name in names], dtype=torch.float64)
        distributed.all_reduce(total)
        return defaultdict(float, zip(names, total.tolist(), strict=True))

    def all(self, holds: bool) -> bool:
        """Return whether something holds on every rank."""
        if self.size == 1:
            return holds
        failing = torch.tensor([0 if holds else 1])
        distributed.all_reduce(failing)
        return not int(failing)

    def spread(self, found: list[Tensor], lengths: Sequence[int]) -> list[Tensor]:
        """Return what each rank found, on all of them, to the bit.

        An entry's first dimension is its length where it was found here, and 0 elsewhere.
        """
        if self.size == 1 or not found:
            return found
        # Of packs that others went through there are only placeholders.
        like = max(found, key=lambda each: (each.dim(), each.device.type != "cpu"))
        whole = like.new_zeros((sum(lengths), *like.shape[1:]))
        parts = list(torch.split(whole, list(lengths)))
        for part, each in zip(parts, found, strict=True):
            if len(each):
                part.copy_(each)
        # Bytes beside zeros: no rounding, and -0.0 stays what it is.
        distributed.all_reduce(whole.view(torch.uint8))
        return parts

    def told(self, said: bytes) -> bytes:
        """Return what rank 0 says."""
        if self.size == 1:
            return said
        length = torch.tensor([len(said)])
        distributed.broadcast(length, src=0)
        text = torch.frombuffer(bytearray(said or b"\0"), dtype=torch.uint8)
        if self.rank:
            text = torch.empty(int(length), dtype=torch.uint8)
        distributed.broadcast(text, src=0)
        return bytes(text.tolist())


ALONE = Ranks()
"""One process."""
