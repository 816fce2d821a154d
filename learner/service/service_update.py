"""Service update: one sealed batch applied through the port, by the rules of `train/update.py`."""

import random
from collections.abc import Callable, Sequence

import msgspec

from ..candidate import HeldOut, Probe
from ..estimators.side_by_side import Estimators
from ..lanes.lane_parts import parts_on
from ..sealed import SealedBatch, SealedEpisode, as_scored
from ..settings import LearnerSettings
from ..train.evidence import (
    batch_metrics,
    held_out_estimate,
    lane_rewards,
    measured_after,
    preference_evidence,
    record_drift,
)
from ..train.loss import means
from ..train.selection import select_episodes
from ..train.steps import BatchGivenUp
from ..train.update import DRIFT_EPISODES, Update, all_finite, told_of, valued_beside
from ..train.valued import Valued
from .port import TrainingService
from .scoring import (
    ServiceScoring,
    at_temperature_one,
    datum,
    finite,
    kl_estimate,
    ratio_sums,
    scored,
)
from .service_steps import ServiceSteps


def apply_at_service(
    steps: ServiceSteps,
    estimators: Estimators,
    batch: SealedBatch,
    vocabulary: int,
    progress: Callable[[int, int], None],
) -> Update:
    """Go over the batch's episodes `passes` times and return the evidence, as `train.update.apply_batch`.

    The caller has begun from the checkpoint's state, and puts the estimators back where this raises:
    BatchGivenUp where nothing can be learned from the batch or a number is not finite.
    """
    service, settings = steps.service, steps.settings
    fit = select_episodes(batch, settings, vocabulary)
    chosen = at_temperature_one(fit)
    try:
        made = parts_on(steps.lanes, fit.episodes, batch.batch_id)
        scoring = ServiceScoring(service, settings)
        given = valued_beside(scoring, estimators, fit, chosen, made)
        ratio = given.episodes if given.advantages else []
        people = [one for one in chosen.held_out if one.person]
        liked = _likelihoods(service, people)
        metrics = given.metrics | steps.optimise(batch.batch_id, given, progress, made.parts)
        weighable = [one for one in chosen.held_out if not one.person]
        metrics |= _after(service, estimators, given, settings, batch.batch_id)
        metrics["after/kl/anchor"] = _apart_from_base(service, weighable or _as_drawn(given))
        metrics |= batch_metrics(batch, chosen, ratio, given.baselines)
        metrics |= lane_rewards(metrics, ratio)
        held_out = _held_out(service, weighable)
        preference = preference_evidence(people, liked, _likelihoods(service, people))
        all_finite(metrics, held_out, preference)
        probed = probe(service, vocabulary, settings)
    except BatchGivenUp as problem:
        problem.left_out = chosen.left_out
        raise
    return Update(
        held_out=held_out,
        preference=preference,
        probe=probed,
        metrics=metrics,
        left_out=chosen.left_out,
    )


def probe(service: TrainingService, vocabulary: int, settings: LearnerSettings) -> Probe:
    """Return the walk over the vocabulary of `Learner.probe`, and what the weights say of it.

    Raises BatchGivenUp where that is not finite: no manifest could hold it.
    """
    ids = tuple((7 * i + 1) % vocabulary for i in range(settings.probe_tokens))
    (found,) = scored(service, [as_scored("probe", ids)])
    return Probe(token_ids=ids, logprobs=tuple(found.tolist()))


def _after(
    service: TrainingService,
    estimators: Estimators,
    given: Valued,
    settings: LearnerSettings,
    batch_id: int,
) -> dict[str, float]:
    """Measure the new weights on a sample, and tell the estimators how far they moved."""
    draw = random.Random(f"{settings.seed}/{batch_id}/after")
    some = measured_after(given.episodes, draw)
    measured = [given.episodes[i] for i in some]
    new = scored(service, measured)
    found = told_of(means(ratio_sums(new, measured)), given.advantages)
    told = {f"after/{name}": value for name, value in found.items()}
    told["drift"] = record_drift(estimators, measured, [given.scores.logp[i] for i in some], new)
    return told


def _as_drawn(given: Valued) -> list[SealedEpisode]:
    """Return the episodes of a batch; without ratios as if the policy before the batch had drawn them."""
    if given.advantages:
        return given.episodes
    return [
        msgspec.structs.replace(one, logprobs=tuple(logp.tolist()))
        for one, logp in zip(given.episodes, given.scores.logp, strict=True)
    ]


def _apart_from_base(service: TrainingService, episodes: Sequence[SealedEpisode]) -> float:
    """Estimate KL(policy to base) on some of the episodes.

    Of those held out where there are any: what was trained on says more than is so.
    """
    few = episodes[:DRIFT_EPISODES]
    base = finite(service.base_logprobs([datum(one) for one in few]))
    return kl_estimate(scored(service, few), base, few)


def _held_out(service: TrainingService, episodes: Sequence[SealedEpisode]) -> HeldOut | None:
    logp = scored(service, episodes)
    log_ratios = [float(a.sum()) - sum(e.logprobs) for e, a in zip(episodes, logp, strict=True)]
    earned, weights = [e.earned for e in episodes], [e.weight for e in episodes]
    return held_out_estimate(log_ratios, earned, weights)


def _likelihoods(service: TrainingService, episodes: Sequence[SealedEpisode]) -> list[float]:
    return [float(each.mean()) for each in scored(service, episodes)]
