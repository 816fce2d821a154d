"""Mixture: the routers of a mixture of experts, and the engine's choice of experts replayed in them.

A token whose router is nearly undecided may go to other experts here than in the engine, whose
arithmetic rounds otherwise; then the two log-probabilities are of two functions. With the engine's choice
both are of one (routing replay, arXiv 2507.18071 and 2510.11370). The experts' weights are the learner's
own scores of those that were chosen, so that gradients reach the routers as ever.
Legend: B rows, T packed tokens, L layers, K experts a token, E experts of a layer.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .sealed import SealedEpisode

FREE = -1
"""In place of an expert's number, where the router chooses by itself."""
_LAYER = re.compile(r"\blayers\.(\d+)\.")


class Mixture:
    """The routers of one decoder, hooked; of a dense model there are none."""

    def __init__(self, layers: int, k: int = 0, experts: int = 0) -> None:
        self.layers, self.k, self.experts = layers, k, experts
        self.routed_layers = set[int]()
        """Layers that have experts."""
        self._given_BTLK: Tensor | None = None

    @contextlib.contextmanager
    def replaying(self, experts_BTLK: Tensor | None) -> Iterator[None]:
        """Within, tokens go to these experts; those of FREE, and all where it is None, as routers choose."""
        self._given_BTLK = experts_BTLK
        try:
            yield
        finally:
            self._given_BTLK = None

    def misfit(self, episode: SealedEpisode) -> str | None:
        """Return what of an episode's routed experts is not of this model, or None."""
        routed = episode.routed_experts
        if routed is None:
            return None
        tokens = len(episode.prompt_token_ids) + len(episode.completion_token_ids)
        if not self.k:
            return "routed_experts: the model has no experts"
        if (routed.layers, routed.k) != (self.layers, self.k):
            return (
                f"routed_experts: {routed.layers} layers of {routed.k} experts a token,"
                f" and the model has {self.layers} of {self.k}"
            )
        if routed.rows != tokens - 1:
            return (
                f"routed_experts: {routed.rows} rows for {tokens} tokens, which have {tokens - 1}"
            )
        told_TLK = routed_TLK(episode)[:, sorted(self.routed_layers)]
        if (largest := int(told_TLK.max())) >= self.experts:
            return f"routed_experts: expert {largest}, and the model has {self.experts}"
        sorted_TLK = told_TLK.sort(-1).values
        if bool((sorted_TLK[..., 1:] == sorted_TLK[..., :-1]).any()):
            return "routed_experts: a token is sent to one expert twice"
        return None

    def hook(self, layer: int, router: Any) -> None:
        """Let a router of a layer choose as is given."""
        self.routed_layers.add(layer)

        def chosen(_: nn.Module, __: Any, output: Any) -> Any:
            if self._given_BTLK is None:
                return None
            logits_NE, scores_NK, indices_NK = output
            given_NK = self._given_BTLK[:, :, layer].reshape(-1, self.k).to(indices_NK.dtype)
            replayed_NK = scores_of(router, logits_NE, given_NK.clamp(min=0))
            fixed_N1 = given_NK[:, :1] != FREE
            return (
                logits_NE,
                torch.where(fixed_N1, replayed_NK.to(scores_NK.dtype), scores_NK),
                torch.where(fixed_N1, given_NK, indices_NK),
            )

        router.register_forward_hook(chosen)


def found_mixture(decoder: nn.Module, *others: nn.Module) -> Mixture | None:
    """Hook the routers of a decoder, and of copies of it; None where experts cannot be replayed.

    That is where a router does other than softmax, the best k, and their scores: each is asked whether what is
    worked out here of its own choice is its own answer.
    """
    routers = dict(_routers(decoder))
    if not routers:
        dense = not any("experts" in name for name, _ in decoder.named_parameters())
        return Mixture(layers=0) if dense else None
    if not all(map(_scores_as_here, routers.values())):
        return None
    sizes = {(router.top_k, router.num_experts) for router in routers.values()}
    if len(sizes) > 1:
        return None
    ((k, experts),) = sizes
    config: Any = decoder.config
    mixture = Mixture(layers=config.get_text_config().num_hidden_layers, k=k, experts=experts)
    for one in (decoder, *others):
        for layer, router in _routers(one):
            mixture.hook(layer, router)
    return mixture


def _routers(decoder: nn.Module) -> Iterator[tuple[int, Any]]:
    for name, module in decoder.named_modules():
        layer = _LAYER.search(f"{name}.")
        if layer and type(module).__name__.endswith("TopKRouter"):
            yield int(layer[1]), module


def _scores_as_here(router: Any) -> bool:
    if not (hasattr(router, "top_k") and hasattr(router, "num_experts")):
        return False
    weight = next(router.parameters())
    draw = torch.Generator().manual_seed(0)
    states_ND = torch.randn((16, weight.shape[-1]), generator=draw).to(weight)
    try:
        with torch.no_grad():
            logits_NE, scores_NK, indices_NK = router(states_ND)
            ours_NK = scores_of(router, logits_NE, indices_NK).to(scores_NK.dtype)
    except (TypeError, ValueError, AttributeError, RuntimeError):
        return False
    return ours_NK.shape == scores_NK.shape and bool(torch.equal(ours_NK, scores_NK))


def scores_of(router: Any, logits_NE: Tensor, indices_NK: Tensor) -> Tensor:
    """Return a router's scores of given experts: their softmax over all, divided by their sum where it does so."""
    scores_NK = logits_NE.softmax(-1, dtype=torch.float32).gather(-1, indices_NK)
    if getattr(router, "norm_topk_prob", True):
        scores_NK = scores_NK / scores_NK.sum(-1, keepdim=True)
    return scores_NK


def routed_TLK(episode: SealedEpisode) -> Tensor:
    """Return an episode's routed experts [tokens - 1, L, K]."""
    routed = episode.routed_experts
    assert routed is not None, "asked of one that has them"
    kind = torch.uint16 if routed.wide else torch.uint8
    flat = torch.frombuffer(bytearray(routed.experts), dtype=kind).to(torch.int32)
    return flat.reshape(-1, routed.layers, routed.k)
