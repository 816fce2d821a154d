"""Bench heads: the same token-level loss on the LM head, by this package and by plain PyTorch.

Every provider takes a `Task` and returns the loss, to be differentiated to the hidden states.
Legend: M tokens, D hidden width, V vocabulary, C rows of a chunk.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rlwd.kernels.dispatch import TokenObjective, logp_head, token_loss, token_weights

OBJECTIVE = TokenObjective(
    ratio_cap=2.0, mask_below=0.2, mask_above=0.2, negative_weight=0.2, kl_weight=0.05
)
CHUNK_TOKENS = {"cpu": 256, "cuda": 1024}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """Tokens of one update."""

    hidden: Tensor
    """[M, D], wants a gradient."""
    anchor: Tensor | None
    """[M, D]; without one there is no KL."""
    weight: Tensor
    """[V, D], frozen."""
    targets: Tensor
    """[M]."""
    behaviour: Tensor
    """[M] what the policy itself says, so that ratios are 1 and every provider weighs alike."""
    advantages: Tensor
    """[M]; 0 for tokens that carry no loss."""
    useful: Tensor
    """[M] bool: carries loss."""

    def cut(self, rows: Tensor) -> "Task":
        """Return some rows, whose hidden states want a gradient of their own."""
        return replace(
            self,
            hidden=self.hidden.detach()[rows].requires_grad_(),
            anchor=None if self.anchor is None else self.anchor[rows],
            targets=self.targets[rows],
            behaviour=self.behaviour[rows],
            advantages=self.advantages[rows],
            useful=self.useful[rows],
        )

    def exact(self) -> "Task":
        """Return the same numbers in float64."""
        return replace(
            self,
            hidden=self.hidden.detach().double().requires_grad_(),
            anchor=None if self.anchor is None else self.anchor.double(),
            weight=self.weight.double(),
        )


def draw(
    tokens: int, width: int, vocabulary: int, share: float, anchored: bool, device: str, dtype: str
) -> Task:
    """Draw a task in which `share` of the tokens carry loss; logits spread over a few nats."""
    source = torch.Generator(device=device).manual_seed(0)
    kind: torch.dtype = getattr(torch, dtype)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, device=device)

    hidden = normal(tokens, width)
    useful = torch.rand(tokens, generator=source, device=device) < share
    task = Task(
        hidden=hidden.to(kind).requires_grad_(),
        anchor=(hidden.detach() + 0.05 * normal(tokens, width)).to(kind) if anchored else None,
        weight=normal(vocabulary, width).mul_(3.0 / width**0.5).to(kind),
        targets=torch.randint(vocabulary, (tokens,), generator=source, device=device),
        behaviour=torch.zeros(tokens, device=device),
        advantages=normal(tokens) * useful,
        useful=useful,
    )
    with torch.no_grad():
        out = logp_head(
            task.hidden, None, task.weight, task.targets, torch.ones_like(task.behaviour)
        )
    return replace(task, behaviour=out.logp)


def sweep(task: Task) -> Tensor:
    """`token_loss`: coefficients and one gradient matrix formed in the head's sweep."""
    ones = torch.ones_like(task.behaviour)
    loss, _, _ = token_loss(
        task.hidden, task.anchor, task.weight, task.targets, ones, task.behaviour, task.advantages,
        OBJECTIVE, normaliser=1.0,
    )  # fmt: skip
    return loss


def rows(task: Task) -> Tensor:
    """`logp_head` and a loss on its outputs: two gradient matrices, for any loss."""
    ones = torch.ones_like(task.behaviour)
    out = logp_head(task.hidden, task.anchor, task.weight, task.targets, ones)
    return loss_of(task, out.logp, out.kl if task.anchor is not None else None)


def eager(task: Task) -> Tensor:
    """Plain PyTorch, every logit at once."""
    return loss_of(task, *_plain(task.hidden, task.anchor, task.weight, task.targets))


def chunks(task: Task) -> Tensor:
    """Plain PyTorch in chunks whose logits are recomputed in backward."""
    return _chunked(task, _plain)


def compiled_chunks(task: Task) -> Tensor:
    """The same, compiled."""
    return _chunked(task, torch.compile(_plain, dynamic=False))


PROVIDERS: dict[str, Callable[[Task], Tensor]] = {
    "sweep": sweep,
    "rows": rows,
    "eager": eager,
    "chunks": chunks,
}
ON_GPU: dict[str, Callable[[Task], Tensor]] = {"compiled_chunks": compiled_chunks}


def _plain(
    hidden_CD: Tensor, anchor_CD: Tensor | None, weight_VD: Tensor, targets_C: Tensor
) -> tuple[Tensor, Tensor | None]:
    """logp and KL of rows."""
    z_CV = hidden_CD @ weight_VD.T
    logp_CV = z_CV.to(torch.promote_types(z_CV.dtype, torch.float32)).log_softmax(-1)
    chosen_C = logp_CV.gather(1, targets_C[:, None])[:, 0]
    if anchor_CD is None:
        return chosen_C, None
    y_CV = anchor_CD @ weight_VD.T
    logq_CV = y_CV.to(logp_CV.dtype).log_softmax(-1)
    return chosen_C, (logp_CV.exp() * (logp_CV - logq_CV)).sum(-1)


def _chunked(task: Task, plain: Callable[..., tuple[Tensor, Tensor | None]]) -> Tensor:
    total = task.hidden.new_zeros((), dtype=torch.float32)
    size = CHUNK_TOKENS[task.hidden.device.type]
    for start in range(0, len(task.targets), size):
        part = slice(start, start + size)
        anchor = None if task.anchor is None else task.anchor[part]
        inputs = (task.hidden[part], anchor, task.weight, task.targets[part])
        out = checkpoint(plain, *inputs, use_reentrant=False)
        weight = token_weights(out[0], task.behaviour[part], task.advantages[part], OBJECTIVE)
        total = total - (weight * out[0]).sum()
        if out[1] is not None:
            total = total + OBJECTIVE.kl_weight * (out[1] * task.useful[part]).sum()
    return total


def loss_of(task: Task, logp_M: Tensor, kl_M: Tensor | None = None) -> Tensor:
    """Return the loss of what a head said; tokens that carry none add nothing."""
    weight_M = token_weights(logp_M, task.behaviour, task.advantages, OBJECTIVE)
    policy = -(weight_M * logp_M).sum()
    return policy if kl_M is None else policy + OBJECTIVE.kl_weight * (kl_M * task.useful).sum()
