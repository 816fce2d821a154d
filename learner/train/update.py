"""Update: one sealed batch applied to the learner, all of it or nothing (CONTRACTS 18)."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from ...streams.join import fate
from ..candidate import HeldOut, Probe
from ..sealed import SealedBatch
from .advantage import per_reward, standardised
from .evidence import batch_metrics, held_out_evidence, record_drift
from .score import score
from .selection import Selection, select_episodes
from .state import Learner
from .steps import BatchGivenUp, optimise
from .token_advantage import token_advantages

DRIFT_EPISODES = 32
"""Episodes on which the drift from v0 is measured where the loss does without the anchor."""


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
    metrics |= optimise(learner, batch.batch_id, episodes, advantages, old, progress)
    new = score(learner, episodes, anchor=settings.kl_weight > 0.0, anchors=old.anchor)
    metrics |= {f"after/{name}": value for name, value in new.metrics.items()}
    if not settings.kl_weight:
        # The gate has a budget of drift, whether or not the loss is told of the anchor.
        some = score(learner, episodes[:DRIFT_EPISODES], anchor=True)
        metrics["after/kl/anchor"] = some.metrics["kl/anchor"]
    metrics["drift"] = record_drift(learner, episodes, old.logp, new.logp)
    metrics |= batch_metrics(chosen, episodes, [v for v in values if v is not None])
    held_out = held_out_evidence(learner, chosen.held_out)
    # The evidence too: a number that JSON does not hold could not be read again by the gate.
    evidence = {} if held_out is None else msgspec.structs.asdict(held_out)
    told = metrics | {f"held_out/{name}": value for name, value in evidence.items()}
    if odd := [name for name, value in told.items() if not math.isfinite(value)]:
        raise BatchGivenUp(f"not finite: {', '.join(odd)}")
    return Update(
        held_out=held_out, probe=learner.probe(), metrics=metrics, left_out=chosen.left_out
    )
