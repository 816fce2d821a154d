"""RoutedExperts: which experts of a mixture an engine sent each token of an answer to (CONTRACTS 2)."""

from typing import Annotated, Literal

import msgspec

MOST_BYTES = 64 << 20
"""Of one answer: 8,192 tokens, 48 layers and 8 experts a token take 3 MB."""
MOST_LAYERS, MOST_K = 1024, 256
"""Of one model."""


class RoutedExperts(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A row for each token that the engine put through the model: all of prompt and answer but the last.

    >>> RoutedExperts(layers=2, k=2, experts=bytes((0, 3, 1, 2))).rows
    1
    Raises ValueError, with the field's path, where the bytes are no whole rows.
    """

    form: Literal[1] = 1
    """Version of this form."""
    layers: Annotated[int, msgspec.Meta(ge=1, le=MOST_LAYERS)]
    """Layers of the model, those without experts too, whose numbers say nothing."""
    k: Annotated[int, msgspec.Meta(ge=1, le=MOST_K)]
    """Experts that each token is sent to."""
    wide: bool = False
    """Whether an expert's number takes two bytes, the lower first, and not one."""
    experts: Annotated[bytes, msgspec.Meta(min_length=1, max_length=MOST_BYTES)]
    """The experts' numbers, by token, layer and place among the k; base64 in JSON."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one token."""
        return self.layers * self.k * (2 if self.wide else 1)

    @property
    def rows(self) -> int:
        """Tokens that there is a row of."""
        return len(self.experts) // self.row_bytes

    def __post_init__(self) -> None:
        if len(self.experts) % self.row_bytes:
            raise ValueError(
                f"$.data.routed_experts.experts: {len(self.experts)} bytes, and a token has"
                f" {self.row_bytes}"
            )
