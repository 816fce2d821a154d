"""DisturbedEngine: a toy of an engine that tells which experts of a mixture it chose.

It is the learner's own model, whose routers' logits are disturbed before the best are chosen, as another
arithmetic would, with a router of the tests' own: no engine that can be had here tells experts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from rlwd.learner.sealed import SealedEpisode
from rlwd.streams.routed_experts import RoutedExperts

VOCABULARY, PROMPT = 96, 5
SEQUENCES = tuple(
    tuple((7 * place + 13 * number + 3) % VOCABULARY for place in range(16 + 3 * number))
    for number in range(4)
)


class DisturbedEngine:
    """The model, whose routers choose by other logits than they score by, and which tells their choice."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        # PyTorch's grouped product has no float64.
        self.model.set_experts_implementation("eager")
        self.draw = torch.Generator().manual_seed(1)
        self.chosen = list[Tensor]()
        for module in self.model.modules():
            if type(module).__name__.endswith("TopKRouter"):
                self._disturb(module)

    def _disturb(self, router: Any) -> None:
        def forward(states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            logits = torch.nn.functional.linear(
                states.reshape(-1, router.hidden_dim), router.weight
            )
            noise = 2.0 * torch.randn(logits.shape, generator=self.draw).to(logits)
            chosen = torch.topk(logits + noise, router.top_k, dim=-1).indices
            scores = torch.softmax(logits, -1, dtype=torch.float32).gather(-1, chosen)
            if getattr(router, "norm_topk_prob", True):
                scores = scores / scores.sum(-1, keepdim=True)
            self.chosen.append(chosen)
            return logits, scores.to(logits.dtype), chosen

        router.forward = forward

    def answered(self, number: int, ids: Sequence[int]) -> SealedEpisode:
        """Return an answer that is all but the first tokens, with what the engine tells of it."""
        self.chosen.clear()
        with torch.no_grad():
            logits = self.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
        logp = logits.double().log_softmax(-1)
        experts = torch.stack(self.chosen, dim=1)[:-1].to(torch.uint8)
        return SealedEpisode(
            generation_id=f"g{number}",
            segment="all",
            version="policy@v000000-0a1b2c3d",
            age=0,
            prompt_token_ids=tuple(ids[:PROMPT]),
            completion_token_ids=tuple(ids[PROMPT:]),
            logprobs=tuple(logp[p - 1, ids[p]].item() for p in range(PROMPT, len(ids))),
            temperature=1.0,
            reward=float(number % 2),
            reward_revision=0,
            routed_experts=RoutedExperts(
                layers=experts.shape[1], k=experts.shape[2], experts=experts.numpy().tobytes()
            ),
        )
