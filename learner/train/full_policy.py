"""FullPolicy: every weight of the text decoder and of its head learns; a frozen copy is the anchor.

The model computes in `learner.dtype`, in which its versions are served. What learns is float32: the
model's own weights where they are that, else copies beside them, which are rounded into the model after
each step. A step at a small learning rate is far below the spacing of bfloat16, and would be lost there.
"""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..ranks.group import ALONE, Ranks
from ..ranks.shards import gathered, part_of, shard_decoder
from ..settings import LearnerSettings
from .adapter_targets import AdapterTargets
from .policy import Policy

NO_TARGETS = AdapterTargets(modules=(), names=(), left_out=(), transposed=False)


class FullPolicy(Policy):
    """The model that is trained, whole, and the one that it began as."""

    def __init__(
        self, causal: Any, decoder: Any, *, base_digest: str, settings: LearnerSettings
    ) -> None:
        super().__init__(
            causal, causal, decoder, NO_TARGETS, base_digest=base_digest, settings=settings
        )
        self.anchor: Any = copy.deepcopy(causal).requires_grad_(False)
        """What the policy began as: for the KL, the lanes' reference and the drift."""
        self.anchor_decoder = self.anchor.get_decoder()
        self.anchor_head_VD = self.anchor.get_output_embeddings().weight
        # Towers for pictures and sound stay as they are: the learner never sees their inputs.
        causal.requires_grad_(False)
        decoder.requires_grad_(True)
        self.head_VD.requires_grad_(True)
        self._copies: dict[str, Tensor] = {}

    @property
    def rounds(self) -> bool:
        """Whether what learns is finer than what the model computes with."""
        return self.head_VD.dtype != torch.float32

    @property
    def decoders(self) -> tuple[Any, ...]:
        """The decoder that learns, and the anchor's."""
        return (self.decoder, self.anchor_decoder)

    def trainable(self) -> dict[str, Tensor]:
        """Return the float32 weights that learn, by the model's names, in a fixed order."""
        return {name: self._copies.get(name, own) for name, own in super().trainable().items()}

    @contextlib.contextmanager
    def as_anchor(self) -> Iterator[None]:
        """Within, `hidden` is the anchor's and no graph is kept."""
        ours, self.decoder = self.decoder, self.anchor_decoder
        try:
            with torch.no_grad():
                yield
        finally:
            self.decoder = ours

    def shard(self, ranks: Ranks) -> None:
        """Divide the weights of both models among the ranks."""
        super().shard(ranks)
        shard_decoder(self.anchor, self.anchor_decoder, ranks, self.device.type)

    def begin(self) -> None:
        """Lay a float32 copy beside each weight that is not float32; gradients go to the copies."""
        for name, own in super().trainable().items():
            if own.dtype != torch.float32:
                self._copies[name] = kept = nn.Parameter(own.detach().float())
                own.register_post_accumulate_grad_hook(_given_to(kept))  # type: ignore[no-untyped-call]

    def settle(self) -> None:
        """Round what learned into the model."""
        with torch.no_grad():
            for name, own in super().trainable().items():
                if name in self._copies:
                    own.copy_(self._copies[name])

    def weights(self, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """Return a copy of the weights as the model computes with them, as `gathered` puts them together."""
        return gathered(super().trainable(), ranks, copy=True)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take up a version's weights, and learn from there; the bits are those that were saved.

        Raises ValueError where one is missing, unknown, or of another shape or type.
        """
        ours = super().trainable()
        if weights.keys() != ours.keys():
            raise ValueError(f"weights {sorted(weights.keys() ^ ours.keys())[:3]} do not match")
        for name, own in ours.items():
            given = weights[name]
            if given.shape != own.shape or given.dtype != own.dtype:
                was = f"{given.dtype} {tuple(given.shape)}"
                raise ValueError(f"{name} is {was}, and the model's {own.dtype} {tuple(own.shape)}")
        with torch.no_grad():
            for name, own in ours.items():
                own.copy_(part_of(weights[name], own))
                if name in self._copies:
                    self._copies[name].copy_(own)


def _given_to(kept: Tensor) -> Any:
    """Return a hook that adds a weight's gradient to its copy's, and takes it from the weight."""

    def give(own: Tensor) -> None:
        assert own.grad is not None, "called with a gradient"
        added = own.grad.float()
        kept.grad = added if kept.grad is None else kept.grad.add_(added)
        own.grad = None

    return give
