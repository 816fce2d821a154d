"""Sampling: how one request wants its tokens drawn, and the draw for a whole batch at once."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """What one request asks of the draw."""

    max_tokens: int
    """Tokens to make at most, at least 1."""
    temperature: float = 1.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    """Keep the likeliest tokens that together reach this probability."""
    top_k: int = 0
    """Keep this many of the likeliest tokens; 0 keeps all."""
    seed: int | None = None
    """Makes the draw reproducible, whoever else is in the batch."""
    stop_ids: frozenset[int] = frozenset()
    """Tokens that end the answer; the one that ended it is part of it."""
    top_logprobs: int = 0
    """How many of the likeliest tokens to report beside the drawn one."""
    score_prompt: bool = False
    """Report the prompt's log-probabilities too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token, and what the policy thought of it."""

    id: int
    """Index into the vocabulary."""
    logprob: float
    """Processed: after temperature, top-k and top-p."""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens with theirs, likeliest first."""


@dataclass(slots=True, kw_only=True)
class Drawing:
    """One row of a batch: what is asked, and the row's own randomness."""

    sampling: SamplingParams
    """What the request asks."""
    chance: random.Random = field(default_factory=random.Random)
    """Seeded where the request has a seed."""


def drawing(sampling: SamplingParams) -> Drawing:
    """Return the row of a request that starts."""
    return Drawing(sampling=sampling, chance=random.Random(sampling.seed))


def draw(logits_BV: Tensor, rows: Sequence[Drawing]) -> list[Token]:
    """Draw one token a row.

    By inversion: the first token whose cumulative probability passes the row's own uniform number.
    So a seed gives the same token whoever else is in the batch.
    """
    logprobs_BV = processed(logits_BV.float(), [row.sampling for row in rows])
    chances_B = torch.tensor([row.chance.random() for row in rows], dtype=torch.float64)
    cumulative_BV = logprobs_BV.double().exp().cumsum(-1)
    wanted_B1 = (chances_B.to(logits_BV.device) * cumulative_BV[:, -1])[:, None]
    drawn_B1 = torch.searchsorted(cumulative_BV, wanted_B1, right=True)
    drawn_B1 = drawn_B1.clamp_(max=logits_BV.shape[-1] - 1)
    greedy = [row.sampling.temperature == 0 for row in rows]
    if any(greedy):
        greedy_B1 = torch.tensor(greedy, device=logits_BV.device)[:, None]
        drawn_B1 = torch.where(greedy_B1, logprobs_BV.argmax(-1, keepdim=True), drawn_B1)
    return _tokens(logprobs_BV, drawn_B1, [row.sampling.top_logprobs for row in rows])


def processed(logits_BV: Tensor, samplings: Sequence[SamplingParams]) -> Tensor:
    """Return log-probabilities after each row's temperature, top-k and top-p (cut tokens: -inf).

    A greedy row keeps temperature 1, as vLLM does.
    """
    temperatures = [sampling.temperature or 1.0 for sampling in samplings]
    if any(temperature != 1.0 for temperature in temperatures):
        logits_BV = logits_BV / torch.tensor(temperatures, device=logits_BV.device)[:, None]
    for index, sampling in enumerate(samplings):
        if sampling.temperature and (sampling.top_p < 1 or 0 < sampling.top_k < len(logits_BV[0])):
            logits_BV = logits_BV.clone()
            logits_BV[index] = _cut(logits_BV[index], sampling)
    return logits_BV.log_softmax(-1)


def _cut(logits_V: Tensor, sampling: SamplingParams) -> Tensor:
    """Return the logits with -inf where top-k, then top-p, drop the token."""
    sorted_V, order_V = logits_V.sort(descending=True, stable=True)
    if sampling.top_k:
        sorted_V[sampling.top_k :] = -torch.inf
    probability_V = sorted_V.softmax(-1)
    before_V = probability_V.cumsum(-1) - probability_V
    sorted_V[before_V >= sampling.top_p] = -torch.inf
    return torch.empty_like(logits_V).scatter_(0, order_V, sorted_V)


def _tokens(logprobs_BV: Tensor, drawn_B1: Tensor, tops: Sequence[int]) -> list[Token]:
    ids = drawn_B1[:, 0].tolist()
    values = logprobs_BV.gather(1, drawn_B1)[:, 0].tolist()
    most = max(tops, default=0)
    if not most:
        return [Token(id=one, logprob=value) for one, value in zip(ids, values, strict=True)]
    best_values_BK, best_ids_BK = logprobs_BV.topk(min(most, logprobs_BV.shape[-1]))
    best = [
        tuple(zip(row_ids[:count], row_values[:count], strict=True))
        for row_ids, row_values, count in zip(
            best_ids_BK.tolist(), best_values_BK.tolist(), tops, strict=True
        )
    ]
    return [
        Token(id=one, logprob=value, top=top)
        for one, value, top in zip(ids, values, best, strict=True)
    ]
