"""Steps: the optimizer's steps on a batch's episodes.

Legend: M completion tokens of a pack, D hidden width.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..chains import chains
from ..ranks.gradients import clipped, sum_whole_gradients
from ..sealed import SealedEpisode
from ..settings import LearnerSettings
from .loss import effective_share, first_pulls, means, pull_sums, swept_loss
from .packing import Pack, completion_lengths
from .score import Scores
from .state import Learner
from .weight import minibatches, token_weight

PASSED = ("tokens/forward", "tokens/shared")
"""Tokens that went through the model in the ratio lane's steps, and those that chains saved of them."""


class BatchGivenUp(Exception):
    """A batch that cannot be applied; the learner is as it was before."""

    def __init__(self, reason: str, left_out: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.left_out = dict(left_out or {})
        """Its episodes that are unfit whatever the batch, each with its rule."""


class LanePart(Protocol):
    """One lane's episodes of a batch; its gradients are added to those of the other lanes."""

    @property
    def taught(self) -> Sequence[SealedEpisode]:
        """The episodes that it learns from, as it scores them: at temperature 1, without ratios."""
        ...

    @property
    def units(self) -> int:
        """Things that are dealt to the steps of a pass: episodes, or pairs of an answer and its edit."""
        ...

    def begin_pass(self) -> None:
        """Deal the units anew."""

    def backward(self, step: int, of: int) -> None:
        """Add the gradients of one of a pass's steps. Raises BatchGivenUp where they are not finite."""
        ...

    def metrics(self) -> dict[str, float]:
        """Return what was measured, `lane/NAME/…`, means over the last pass."""
        ...


class LaneParts(NamedTuple):
    """What the lanes beside the ratio lane make of a batch."""

    parts: Sequence[LanePart]
    """Of those that learn something from it."""
    unfit: Mapping[str, str]
    """Generation ids that a lane cannot read or hold, each with its rule (`fate.LEARNER_RULES`)."""


Lanes = Callable[[Learner, Sequence[SealedEpisode], int], LaneParts]
"""Builds them for a batch id; an episode that no part could use is in none."""


def ratio_alone(learner: Learner, episodes: Sequence[SealedEpisode], batch_id: int) -> LaneParts:
    """Build none."""
    return LaneParts((), {})


def optimise(
    learner: Learner,
    batch_id: int,
    episodes: Sequence[SealedEpisode],
    advantages: Sequence[Tensor],
    old: Scores,
    progress: Callable[[int, int], None],
    parts: Sequence[LanePart] = (),
    first: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Make all the optimizer steps and return means over them; `old` was scored before the first.

    `first` are the sums of the first step where its gradients are there already (`add_gradients`).

    A pass has as many as the ratio lane's episodes are worth by their weights (`minibatches`), or the
    largest other lane's where it has none; what the other lanes have is dealt to them in equal parts.
    No later pass is begun whose first step's ratios are worth less than `ess_floor`.
    """
    settings, size = learner.settings, learner.settings.minibatch_episodes
    shuffle = random.Random(f"{settings.seed}/{batch_id}")
    units = chains(episodes)
    without = [list[int]()] * (0 if episodes else -(-max(part.units for part in parts) // size))
    usual = token_weight(episodes) if episodes else 0.0
    totals: dict[str, float] = defaultdict(float)
    norms, shares = list[float](), list[float]()
    for passed in range(settings.passes):
        shuffle.shuffle(units)
        steps = minibatches(units, [one.weight for one in episodes], size) or without
        for place, chosen in enumerate(steps):
            if norms or first is None:
                learner.optimizer.zero_grad()
                sums = add_gradients(learner, chosen, episodes, advantages, old, usual)
            else:
                sums = dict(first)
            if place == 0 and episodes:
                shares.append(effective_share(sums))
                if passed and shares[-1] < settings.ess_floor:
                    return _told(totals, parts, norms, shares)
            for part in parts if place == 0 else ():
                part.begin_pass()
            for name, value in sums.items():
                totals[name] += value
            for part in parts:
                part.backward(place, len(steps))
            norms.append(step(learner))
            progress(len(norms), len(norms) - place - 1 + len(steps) * (settings.passes - passed))
    return _told(totals, parts, norms, shares)


def only_step(
    learner: Learner, batch_id: int, episodes: Sequence[SealedEpisode]
) -> list[int] | None:
    """Return the episodes of a pass's step, in its first pass's order; None where it has several."""
    units, weights = chains(episodes), [one.weight for one in episodes]
    random.Random(f"{learner.settings.seed}/{batch_id}").shuffle(units)
    dealt = minibatches(units, weights, learner.settings.minibatch_episodes)
    return dealt[0] if len(dealt) == 1 else None


def _told(
    totals: dict[str, float],
    parts: Sequence[LanePart],
    norms: Sequence[float],
    shares: Sequence[float],
) -> dict[str, float]:
    """Return means over the steps made; `shares` are of each pass's first step, also of one not made."""
    early = {"ess/least": min(shares), "ess/last": shares[-1]} if shares else {}
    return {
        **(means(totals) if shares else {}),
        **{name: totals[name] for name in PASSED if shares},
        **{name: value for part in parts for name, value in part.metrics().items()},
        **early,
        "grad_norm": sum(norms) / len(norms),
        "grad_norm/max": max(norms),
        "steps": float(len(norms)),
    }


def first_share(
    episodes: Sequence[SealedEpisode],
    advantages: Sequence[Tensor],
    old: Scores,
    settings: LearnerSettings,
) -> float:
    """Return the effective sample size, a token, of a batch's importance ratios before the first step.

    Of the tokens that would pull: those with an advantage that the trust region leaves in, each with
    its ratio as the region uses it (`pull_sums`).
    """
    behaviour = [logp.new_tensor(e.logprobs) for logp, e in zip(old.logp, episodes, strict=True)]
    ours = [a.to(logp.device) for a, logp in zip(advantages, old.logp, strict=True)]
    pulls_M = first_pulls(old.logp, behaviour, ours, settings)
    return effective_share(pull_sums(pulls_M, torch.cat(ours), settings))


def add_gradients(
    learner: Learner,
    chosen: Sequence[int],
    episodes: Sequence[SealedEpisode],
    advantages: Sequence[Tensor],
    old: Scores,
    usual: float,
) -> dict[str, float]:
    """Add the gradients of the ratio lane's chosen episodes; returns the sums of what is reported.

    `usual` is what a token of the batch weighs: a step on episodes of little weight is a short one.
    Where `old` has no log-probabilities yet, it takes up those that are found.
    """
    scored = bool(old.logp)
    if not scored:
        old.logp.extend([torch.empty(0)] * len(episodes))
    totals: dict[str, float] = defaultdict(float)
    normaliser = usual * sum(len(episodes[i].completion_token_ids) for i in chosen)
    for share in learner.packs([episodes[i] for i in chosen]):
        packed, ours = share.packed, [chosen[i] for i in share.indices]
        anchor_MD = torch.cat([old.anchor[i] for i in ours]) if old.anchor else None
        loss = swept_loss(
            learner.hidden(packed),
            anchor_MD,
            learner.policy.head_VD,
            packed,
            torch.cat([advantages[i] for i in ours]).to(packed.segments_M.device),
            weights_M=_per_token([episodes[i].weight for i in ours], packed),
            proximal_M=torch.cat([old.logp[i] for i in ours]) if scored else None,
            normaliser=normaliser,
            settings=learner.settings,
            anchor_head_VD=learner.policy.anchor_head_VD,
        )
        if not learner.ranks.all(bool(torch.isfinite(loss.total))):
            raise BatchGivenUp("the loss is not finite")
        (loss.total * share.counts).backward()  # type: ignore[no-untyped-call]
        for place, index in enumerate(() if scored else ours):
            old.logp[index] = share.of(loss.logp_M, place)
        for name, value in loss.sums.items():
            totals[name] += value * share.counts
        for name, count in zip(PASSED, (packed.forward_tokens, packed.shared_tokens), strict=True):
            totals[name] += count * share.counts
    if not scored:
        old.logp[:] = learner.ranks.spread(old.logp, completion_lengths(episodes))
    return learner.ranks.summed(totals)


def step(learner: Learner) -> float:
    """Make one optimizer step on the gradients added; returns their norm before the clip."""
    settings = learner.settings
    parameters = list(learner.policy.trainable().values())
    sum_whole_gradients(parameters, learner.ranks)
    norm = clipped(parameters, settings.clip_norm)
    if not norm < float("inf"):
        raise BatchGivenUp("the gradient is not finite")
    for group in learner.optimizer.param_groups:
        group["lr"] = settings.learning_rate * _warmth(learner)
    learner.optimizer.step()
    learner.policy.settle()
    return norm


def _warmth(learner: Learner) -> float:
    """Share of the learning rate at this step of the policy's life."""
    made = next((int(each["step"]) for each in learner.optimizer.state.values()), 0)
    return min(1.0, (made + 1) / (learner.settings.warmup_steps + 1))


def _per_token(values: Sequence[float], packed: Pack) -> Tensor:
    return torch.tensor(values, device=packed.segments_M.device)[packed.segments_M]
