"""Steps: the optimizer's steps on a batch's episodes.

Legend: M completion tokens of a pack, D hidden width.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..sealed import SealedEpisode
from .loss import means, swept_loss
from .packing import Pack
from .score import Scores
from .state import Learner
from .weight import token_weight


class BatchGivenUp(Exception):
    """A batch that cannot be applied; the learner is as it was before."""

    def __init__(self, reason: str, left_out: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.left_out = dict(left_out or {})
        """Its episodes that are unfit whatever the batch, each with its rule."""


def optimise(
    learner: Learner,
    batch_id: int,
    episodes: Sequence[SealedEpisode],
    advantages: Sequence[Tensor],
    old: Scores,
    progress: Callable[[int, int], None],
) -> dict[str, float]:
    """Make all the optimizer steps and return means over them; `old` was scored before the first."""
    settings, size = learner.settings, learner.settings.minibatch_episodes
    shuffle = random.Random(f"{settings.seed}/{batch_id}")
    order, steps = list(range(len(episodes))), settings.passes * -(-len(episodes) // size)
    usual = token_weight(episodes)
    totals: dict[str, float] = defaultdict(float)
    norms, done = list[float](), 0
    for _ in range(settings.passes):
        shuffle.shuffle(order)
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            norms.append(step(learner, chosen, episodes, advantages, old, totals, usual))
            done += 1
            progress(done, steps)
    return {
        **means(totals),
        "grad_norm": sum(norms) / len(norms),
        "grad_norm/max": max(norms),
        "steps": float(steps),
    }


def step(
    learner: Learner,
    chosen: Sequence[int],
    episodes: Sequence[SealedEpisode],
    advantages: Sequence[Tensor],
    old: Scores,
    totals: dict[str, float],
    usual: float,
) -> float:
    """One optimizer step on the chosen episodes; returns the gradient's norm before the clip.

    `usual` is what a token of the batch weighs: a step on episodes of little weight is a short one.
    """
    settings = learner.settings
    normaliser = usual * sum(len(episodes[i].completion_token_ids) for i in chosen)
    learner.optimizer.zero_grad()
    for indices, packed in learner.packs([episodes[i] for i in chosen]):
        ours = [chosen[i] for i in indices]
        anchor_MD = torch.cat([old.anchor[i] for i in ours]) if old.anchor else None
        loss = swept_loss(
            learner.hidden(packed),
            anchor_MD,
            learner.policy.head_VD,
            packed,
            torch.cat([advantages[i] for i in ours]).to(packed.segments_M.device),
            weights_M=_per_token([episodes[i].weight for i in ours], packed),
            proximal_M=torch.cat([old.logp[i] for i in ours]),
            normaliser=normaliser,
            settings=settings,
        )
        if not torch.isfinite(loss.total):
            raise BatchGivenUp("the loss is not finite")
        loss.total.backward()  # type: ignore[no-untyped-call]
        for name, value in loss.sums.items():
            totals[name] += value
    parameters = list(learner.policy.trainable().values())
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm))
    if not norm < float("inf"):
        raise BatchGivenUp("the gradient is not finite")
    for group in learner.optimizer.param_groups:
        group["lr"] = settings.learning_rate * _warmth(learner)
    learner.optimizer.step()
    return norm


def _warmth(learner: Learner) -> float:
    """Share of the learning rate at this step of the policy's life."""
    made = next((int(v) for name, v in learner.moments().items() if name.endswith("/step")), 0)
    return min(1.0, (made + 1) / (learner.settings.warmup_steps + 1))


def _per_token(values: Sequence[float], packed: Pack) -> Tensor:
    return torch.tensor(values, device=packed.segments_M.device)[packed.segments_M]
