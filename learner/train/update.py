"""Update: one sealed batch applied to the learner, all of it or nothing (CONTRACTS 18)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from ..candidate import HeldOut, Probe
from ..sealed import SealedBatch
from .evidence import batch_metrics, held_out_evidence, record_drift
from .score import score
from .selection import Selection, select_episodes
from .state import Learner
from .steps import BatchGivenUp, optimise
from .valued import valued

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
    try:
        return _applied(learner, batch, chosen, progress or (lambda done, of: None))
    except BatchGivenUp as problem:
        learner.restore(before)
        problem.left_out = chosen.left_out
        raise


def _applied(
    learner: Learner,
    batch: SealedBatch,
    chosen: Selection,
    progress: Callable[[int, int], None],
) -> Update:
    settings, given = learner.settings, valued(learner, chosen)
    episodes, old, metrics = given.episodes, given.scores, dict(given.metrics)
    metrics |= optimise(learner, batch.batch_id, episodes, given.advantages, old, progress)
    new = score(learner, episodes, anchor=settings.kl_weight > 0.0, anchors=old.anchor)
    metrics |= {f"after/{name}": value for name, value in new.metrics.items()}
    if not settings.kl_weight:
        # The gate has a budget of drift, whether or not the loss is told of the anchor.
        some = score(learner, episodes[:DRIFT_EPISODES], anchor=True)
        metrics["after/kl/anchor"] = some.metrics["kl/anchor"]
    metrics["drift"] = record_drift(learner, episodes, old.logp, new.logp)
    metrics |= batch_metrics(batch, chosen, episodes, given.baselines)
    held_out = held_out_evidence(learner, chosen.held_out)
    # The evidence too: a number that JSON does not hold could not be read again by the gate.
    evidence = {} if held_out is None else msgspec.structs.asdict(held_out)
    told = metrics | {f"held_out/{name}": value for name, value in evidence.items()}
    if odd := [name for name, value in told.items() if not math.isfinite(value)]:
        raise BatchGivenUp(f"not finite: {', '.join(odd)}")
    return Update(
        held_out=held_out, probe=learner.probe(), metrics=metrics, left_out=chosen.left_out
    )
