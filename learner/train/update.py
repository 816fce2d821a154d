"""Update: one sealed batch applied to the learner, all of it or nothing (CONTRACTS 18).

Legend: M completion tokens of a pack, D hidden width.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor

from ...streams.join import fate
from ..candidate import HeldOut, Probe
from ..sealed import SealedBatch, SealedEpisode
from .advantage import per_reward, standardised
from .held_out import held_out_evidence
from .loss import means, swept_loss
from .packing import Pack
from .score import score
from .selection import Selection, counts_by_rule, select_episodes
from .state import Learner
from .token_advantage import token_advantages
from .weight import token_weight, weight_metrics

DRIFT_EPISODES = 32
"""Episodes on which the drift from v0 is measured where the loss does without the anchor."""


class BatchGivenUp(Exception):
    """A batch that cannot be applied; the learner is as it was before."""

    def __init__(self, reason: str, left_out: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.left_out = dict(left_out or {})
        """Its episodes that are unfit whatever the batch, each with its rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Evidence and measurements of an applied batch."""

    held_out: HeldOut | None
    """Evidence for the gate."""
    probe: Probe
    """What a server of the new weights must answer."""
    metrics: dict[str, float]
    """Slash-grouped, all finite."""
    left_out: dict[str, str]
    """Generation ids of the batch that were not used, each with its rule."""


def apply_batch(
    learner: Learner, batch: SealedBatch, progress: Callable[[int, int], None] | None = None
) -> Update:
    """Go over the batch's episodes `passes` times and return the evidence.

    `progress(done, of)` is called after each optimizer step. The order of episodes depends on seed
    and batch id alone, so that applying a batch again to the same checkpoint gives the same bits.
    An episode that is unfit, or whose segment has no spread, is left out alone (`left_out`).
    Raises BatchGivenUp, with everything put back, where none is left, or a loss or gradient is not
    finite; that is found before the step that would have spread it.
    """
    before = learner.snapshot()
    chosen = select_episodes(batch, learner.settings, learner.policy.vocabulary)
    values = learner.tracker.baselines(chosen.episodes)
    for episode, value in zip(chosen.episodes, values, strict=True):
        if value is None:
            chosen.left_out[episode.generation_id] = fate.NO_SPREAD
    if not any(value is not None for value in values):
        raise BatchGivenUp(_nothing_left(batch, chosen.left_out), chosen.left_out)
    try:
        return _applied(learner, batch, chosen, values, progress or (lambda done, of: None))
    except BatchGivenUp as problem:
        learner.restore(before)
        problem.left_out = chosen.left_out
        raise


def _nothing_left(batch: SealedBatch, left_out: Mapping[str, str]) -> str:
    rules = Counter(left_out[e.generation_id] for e in batch.episodes)
    counts = ", ".join(f"{count} {rule}" for rule, count in sorted(rules.items()))
    return f"no episode of {len(batch.episodes)} can be learned from: {counts}"


def _applied(
    learner: Learner,
    batch: SealedBatch,
    chosen: Selection,
    values: Sequence[float | None],
    progress: Callable[[int, int], None],
) -> Update:
    settings = learner.settings
    weights = [e.weight * len(e.completion_token_ids) for e in chosen.episodes]
    rewards, floor = [e.earned for e in chosen.episodes], settings.advantage_floor
    scaled = standardised(rewards, values, weights, floor=floor)
    unit = settings.token_credit * per_reward(rewards, values, weights, floor=floor)
    judged = [(e, a) for e, a in zip(chosen.episodes, scaled, strict=True) if a is not None]
    episodes = [e for e, _ in judged]
    advantages = [token_advantages(e, a, unit) for e, a in judged]
    learner.tracker.observe(chosen.episodes)
    old = score(learner, episodes, anchor=settings.kl_weight > 0.0)
    metrics = {f"before/{name}": value for name, value in old.metrics.items()}
    metrics |= _optimise(learner, batch.batch_id, episodes, advantages, old.anchor, progress)
    new = score(learner, episodes, anchor=settings.kl_weight > 0.0, anchors=old.anchor)
    metrics |= {f"after/{name}": value for name, value in new.metrics.items()}
    if not settings.kl_weight:
        # The gate has a budget of drift, whether or not the loss is told of the anchor.
        some = score(learner, episodes[:DRIFT_EPISODES], anchor=True)
        metrics["after/kl/anchor"] = some.metrics["kl/anchor"]
    metrics["drift"] = _record_drift(learner, episodes, old.logp, new.logp)
    metrics |= _batch_metrics(chosen, episodes, [v for v in values if v is not None])
    held_out = _held_out(learner, chosen.held_out)
    # The evidence too: a number that JSON does not hold could not be read again by the gate.
    evidence = {} if held_out is None else msgspec.structs.asdict(held_out)
    told = metrics | {f"held_out/{name}": value for name, value in evidence.items()}
    if odd := [name for name, value in told.items() if not math.isfinite(value)]:
        raise BatchGivenUp(f"not finite: {', '.join(odd)}")
    return Update(
        held_out=held_out, probe=learner.probe(), metrics=metrics, left_out=chosen.left_out
    )


def _optimise(
    learner: Learner,
    batch_id: int,
    episodes: Sequence[SealedEpisode],
    advantages: Sequence[Tensor],
    anchors: Sequence[Tensor],
    progress: Callable[[int, int], None],
) -> dict[str, float]:
    """Make all the optimizer steps and return means over them."""
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
            norms.append(_step(learner, chosen, episodes, advantages, anchors, totals, usual))
            done += 1
            progress(done, steps)
    return {
        **means(totals),
        "grad_norm": sum(norms) / len(norms),
        "grad_norm/max": max(norms),
        "steps": float(steps),
    }


def _step(
    learner: Learner,
    chosen: Sequence[int],
    episodes: Sequence[SealedEpisode],
    advantages: Sequence[Tensor],
    anchors: Sequence[Tensor],
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
        anchor_MD = torch.cat([anchors[i] for i in ours]) if anchors else None
        loss = swept_loss(
            learner.hidden(packed),
            anchor_MD,
            learner.policy.head_VD,
            packed,
            torch.cat([advantages[i] for i in ours]).to(packed.segments_M.device),
            weights_M=_per_token([episodes[i].weight for i in ours], packed),
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


def _record_drift(
    learner: Learner,
    episodes: Sequence[SealedEpisode],
    old: Sequence[Tensor],
    new: Sequence[Tensor],
) -> float:
    """Tell the tracker how far each segment's answers moved; returns the mean over all tokens."""
    moved: dict[str, list[Tensor]] = defaultdict(list)
    for episode, was, now in zip(episodes, old, new, strict=True):
        moved[episode.stratum].append((now - was).abs())
    by_segment = {name: float(torch.cat(parts).mean()) for name, parts in moved.items()}
    overall = float(torch.cat([part for parts in moved.values() for part in parts]).mean())
    if not overall < float("inf"):
        raise BatchGivenUp("the new weights' log-probabilities are not finite")
    learner.tracker.moved(by_segment, overall)
    return overall


def _batch_metrics(
    chosen: Selection, episodes: Sequence[SealedEpisode], baselines: Sequence[float]
) -> dict[str, float]:
    count = len(episodes)
    return {
        "reward/mean": sum(e.reward for e in chosen.episodes) / len(chosen.episodes),
        "baseline/mean": sum(baselines) / count,
        "episodes/trained": float(count),
        "episodes/left_out": float(len(chosen.left_out)),
        **counts_by_rule(chosen.left_out),
        "age/mean": sum(episode.age for episode in episodes) / count,
        "age/max": float(max(episode.age for episode in episodes)),
        **weight_metrics(episodes),
        "credit/by_token": sum(bool(e.credit) for e in episodes) / count,
        "completion_tokens/mean": sum(len(e.completion_token_ids) for e in episodes) / count,
    }


def _held_out(learner: Learner, episodes: Sequence[SealedEpisode]) -> HeldOut | None:
    if not episodes:
        return None
    log_ratios = [
        float(logp.sum()) - sum(episode.logprobs)
        for episode, logp in zip(episodes, score(learner, episodes).logp, strict=True)
    ]
    return held_out_evidence(log_ratios, [e.earned for e in episodes], [e.weight for e in episodes])
