"""Within budget: a batch applied, and taken back where it moves the policy further than one version may.

The version is not made, in place of one that a gate holds: the learner would go on from its weights, and
each version after it would carry what the gate refused.
"""

import math
from collections.abc import Callable, Iterator

from ...streams.join import fate
from ..drift_settings import DriftSettings
from ..sealed import SealedBatch
from ..train.state import Learner
from ..train.steps import BatchGivenUp, Lanes, ratio_alone
from ..train.update import Update, apply_batch
from .drift_probe import DriftProbe, update_norm


def apply_within_budget(
    learner: Learner,
    batch: SealedBatch,
    probe: DriftProbe,
    progress: Callable[[int, int], None] | None = None,
    lanes: Lanes = ratio_alone,
) -> Update:
    """As `apply_batch`; metrics say how far the policy is (`drift/kl`) and what this added.

    Raises BatchGivenUp, with everything put back and every episode `excluded:drift`, beyond a budget.
    """
    before, was = learner.snapshot(), probe.kl(learner)
    update = apply_batch(learner, batch, progress, lanes, before)
    now = probe.kl(learner)
    told = {
        "drift/kl": now,
        "drift/kl_added": now - was,
        "drift/norm": update_norm(before.weights, learner.policy.trainable()),
    }
    if odd := [name for name, value in told.items() if not math.isfinite(value)]:
        learner.restore(before)
        raise BatchGivenUp(f"not finite: {', '.join(odd)}", update.left_out)
    if beyond := "; ".join(_beyond(told, learner.settings.drift)):
        learner.restore(before)
        names = (episode.generation_id for episode in (*batch.episodes, *batch.held_out))
        raise BatchGivenUp(beyond, dict.fromkeys(names, fate.DRIFT) | update.left_out)
    update.metrics.update(told)
    return update


def _beyond(told: dict[str, float], budget: DriftSettings) -> Iterator[str]:
    if budget.version_kl and told["drift/kl_added"] > budget.version_kl:
        yield (
            f"it would add {told['drift/kl_added']:.3g} nats a token to the drift of {told['drift/kl']:.3g}"
            f" from the base model: learner.drift.version_kl is {budget.version_kl:g}"
        )
    if budget.version_norm and told["drift/norm"] > budget.version_norm:
        yield (
            f"its update is {told['drift/norm']:.3g} of the length of what learns:"
            f" learner.drift.version_norm is {budget.version_norm:g}"
        )
