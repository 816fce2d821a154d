"""Batch: the rows under way, padded on the left, and their cache.

On the left, so that every row's next token is in the last column whatever its length.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .adapter_bank import Adapter
from .request import Request
from .sampling import Drawing, Token


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """A request in the running batch."""

    request: Request
    """What it answers."""
    adapter: Adapter | None
    """Its weights, kept until it ends even where the name is unloaded."""
    drawing: Drawing
    """How its tokens are drawn."""
    length: int
    """Tokens in the cache, padding left out; also the next token's position."""
    made: int = 0
    """Tokens drawn so far."""
    last: int = 0
    """The token drawn last, not in the cache yet."""

    def take(self, token: Token) -> str | None:
        """Take the token that was drawn; return why the answer ends with it, or None."""
        self.made, self.last = self.made + 1, token.id
        if token.id in self.drawing.sampling.stop_ids:
            return "stop"
        return "length" if self.made >= self.drawing.sampling.max_tokens else None


@dataclass(slots=True, kw_only=True)
class Batch:
    """Rows under way, with the keys and values of all that they read and wrote."""

    rows: list[Row] = field(default_factory=list)
    """One a request."""
    mask_BT: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.long))
    """1 where a row has a token, 0 where it is padded."""
    keys: list[Tensor] = field(default_factory=list)
    """One a layer, [B, heads, T, D]."""
    values: list[Tensor] = field(default_factory=list)
    """One a layer, of the shape of `keys`."""

    def keep(self, kept: Sequence[int]) -> None:
        """Drop all other rows, and the columns that only they used."""
        index = torch.tensor(kept, dtype=torch.long, device=self.mask_BT.device)
        self.rows = [self.rows[one] for one in kept]
        if not kept:
            self.mask_BT, self.keys, self.values = self.mask_BT[:0, :0], [], []
            return
        mask_BT = self.mask_BT[index]
        start = int(mask_BT.any(0).int().argmax())
        self.mask_BT = mask_BT[:, start:]
        self.keys = [one[index, :, start:] for one in self.keys]
        self.values = [one[index, :, start:] for one in self.values]

    def join(self, other: "Batch") -> None:
        """Take in another batch's rows."""
        if not self.rows or not other.rows:
            taken = other if other.rows else self
            self.rows, self.mask_BT = taken.rows, taken.mask_BT
            self.keys, self.values = taken.keys, taken.values
            return
        width = max(self.mask_BT.shape[1], other.mask_BT.shape[1])
        self.rows = [*self.rows, *other.rows]
        self.mask_BT = torch.cat([_widened(one.mask_BT, width, 1) for one in (self, other)])
        self.keys = _joined(self.keys, other.keys, width)
        self.values = _joined(self.values, other.values, width)


def _widened(tensor: Tensor, width: int, axis: int) -> Tensor:
    """Return the tensor with zeros before it along the axis."""
    shape = list(tensor.shape)
    shape[axis] = width - shape[axis]
    return torch.cat([tensor.new_zeros(shape), tensor], dim=axis) if shape[axis] else tensor


def _joined(ours: list[Tensor], theirs: list[Tensor], width: int) -> list[Tensor]:
    return [
        torch.cat([_widened(one, width, 2), _widened(other, width, 2)])
        for one, other in zip(ours, theirs, strict=True)
    ]
