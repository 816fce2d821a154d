"""The LM head's sums written plainly, every logit at once, for autograd to differentiate."""

from typing import NamedTuple

import torch
from torch import Tensor

from rlwd.kernels.dispatch import HeadOutputs, TokenObjective, token_weights

OBJECTIVE = TokenObjective(
    ratio_cap=2.0, mask_below=0.2, mask_above=0.2, negative_weight=0.2, kl_weight=0.05
)

BOUNDED = TokenObjective(
    band_low=0.6, band_high=1.8, probability_mask=0.1, negative_weight=1.0, kl_weight=0.05
)


class Given(NamedTuple):
    """Inputs of `logp_head`."""

    hidden: Tensor
    anchor: Tensor | None
    weight: Tensor
    targets: Tensor
    temperature: Tensor

    def to(self, dtype: torch.dtype) -> "Given":
        """Cast all but the targets; the hidden states ask for a gradient again."""
        anchor = None if self.anchor is None else self.anchor.to(dtype)
        return Given(
            self.hidden.detach().to(dtype).requires_grad_(),
            anchor,
            self.weight.detach().to(dtype),
            self.targets,
            self.temperature.to(dtype),
        )


def draw(
    tokens: int, width: int, vocabulary: int, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Given:
    """Draw inputs whose logits spread over a few nats, and temperatures from 0.5 to 1.5."""
    source = torch.Generator().manual_seed(tokens * 1000 + vocabulary + seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64).to(dtype)

    hidden, anchor, weight = (
        normal(tokens, width),
        normal(tokens, width),
        normal(vocabulary, width),
    )
    targets = torch.randint(vocabulary, (tokens,), generator=source)
    temperature = 0.5 + torch.rand(tokens, generator=source, dtype=torch.float64)
    return Given(hidden.requires_grad_(), anchor, weight, targets, temperature.to(dtype))


def off_policy(given: Given) -> tuple[Tensor, Tensor]:
    """Behaviour log-probabilities a little off the policy's, and advantages of both signs."""
    source = torch.Generator().manual_seed(len(given.targets))
    noise = torch.randn(2, len(given.targets), generator=source, dtype=torch.float64)
    logp = plain(given).logp.detach()
    apart, advantages = noise.to(logp.device)
    return (logp + 0.4 * apart).to(logp.dtype), advantages.to(logp.dtype)


def plain(given: Given) -> HeadOutputs:
    """The door's outputs by autograd; the anchor is a constant."""
    hidden, anchor, weight, targets, temperature = given
    z = hidden @ weight.T / temperature[:, None]
    logp = z.log_softmax(-1)
    chosen = logp.gather(1, targets[:, None])[:, 0]
    entropy = -(logp.exp() * logp).sum(-1)
    if anchor is None:
        zeros = torch.zeros_like(chosen)
        return HeadOutputs(chosen, z.logsumexp(-1), entropy, zeros, zeros)
    y = (anchor @ weight.detach().T / temperature[:, None]).detach()
    kl = (logp.exp() * (logp - y.log_softmax(-1))).sum(-1)
    return HeadOutputs(chosen, z.logsumexp(-1), entropy, kl, y.logsumexp(-1))


def plain_loss(given: Given, normaliser: float, objective: TokenObjective = OBJECTIVE) -> Tensor:
    """The token-level loss by autograd."""
    out, (behaviour, advantages) = plain(given), off_policy(given)
    weights = token_weights(out.logp, behaviour, advantages, objective)
    return (objective.kl_weight * out.kl.sum() - (weights * out.logp).sum()) / normaliser
