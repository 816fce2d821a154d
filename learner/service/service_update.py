"""Service update: one sealed batch applied through the port, by the rules of `train/update.py`.

Each step asks for its tokens' log-probabilities, works out how hard each is pulled, and gives these as
weights: two passes a step, one for the first, whose log-probabilities are those of the whole batch.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..candidate import HeldOut, Probe
from ..chains import chains
from ..estimators.side_by_side import Estimators
from ..pulls import pulls
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
from ..train.loss import effective_share, means, pull_sums
from ..train.selection import select_episodes
from ..train.steps import BatchGivenUp, first_share
from ..train.update import DRIFT_EPISODES, Update, all_finite, worth_too_little
from ..train.valued import Valued, valued_by
from ..train.weight import minibatches, token_weight
from .port import AdamStep, TrainingService
from .scoring import (
    ServiceScoring,
    at_temperature_one,
    behaviour,
    datum,
    finite,
    kl_estimate,
    ratio_sums,
    scored,
)


@dataclass(slots=True, kw_only=True)
class ServiceSteps:
    """Makes the optimizer's steps, and knows how many the policy's life had."""

    service: TrainingService
    """Where the weights are."""
    settings: LearnerSettings
    """How to learn."""
    made: int
    """Steps of the policy's life."""

    def optimise(
        self, batch_id: int, given: Valued, progress: Callable[[int, int], None]
    ) -> dict[str, float]:
        """Make all the steps and return means over them, in the order of `train.steps.optimise`.

        No later pass is begun whose first step's ratios are worth less than `ess_floor`.
        """
        settings, size = self.settings, self.settings.minibatch_episodes
        shuffle = random.Random(f"{settings.seed}/{batch_id}")
        units, weights = chains(given.episodes), [one.weight for one in given.episodes]
        totals: dict[str, float] = defaultdict(float)
        shares, done = list[float](), 0
        for passed in range(settings.passes):
            shuffle.shuffle(units)
            steps = minibatches(units, weights, size)
            for place, chosen in enumerate(steps):
                now = [given.scores.logp[i] for i in chosen]
                if done:
                    now = scored(self.service, [given.episodes[i] for i in chosen])
                pulls_M, sums = self._pulled(given, chosen, now)
                if place == 0:
                    shares.append(effective_share(sums))
                    if passed and shares[-1] < settings.ess_floor:
                        return _told(totals, shares, done)
                for name, value in sums.items():
                    totals[name] += value
                self._step(given, chosen, pulls_M)
                done += 1
                progress(done, done - place - 1 + len(steps) * (settings.passes - passed))
        return _told(totals, shares, done)

    def _pulled(
        self, given: Valued, chosen: Sequence[int], now: Sequence[Tensor]
    ) -> tuple[Tensor, dict[str, float]]:
        """Return how hard the chosen episodes' tokens are pulled, and the sums that are reported."""
        episodes = [given.episodes[i] for i in chosen]
        advantages = [given.advantages[i] for i in chosen]
        old = [given.scores.logp[i] for i in chosen]
        pulls_M = pulls(now, old, behaviour(episodes), advantages, self.settings)
        advantages_M, logp_M = torch.cat(advantages), torch.cat(list(now))
        weighed_M = pulls_M * torch.cat(
            [torch.full_like(a, e.weight) for a, e in zip(advantages, episodes, strict=True)]
        )
        judged_M = advantages_M != 0 if self.settings.negative_weight else advantages_M > 0
        return pulls_M, {
            **ratio_sums(now, episodes),
            **pull_sums(pulls_M, advantages_M, self.settings),
            "loss/policy": -float((weighed_M * logp_M).sum()),
            "ratio/masked": float((judged_M & (pulls_M == 0)).sum()),
            "advantage/negative_share": float((weighed_M * (advantages_M < 0)).abs().sum()),
            "advantage/weight": float(weighed_M.abs().sum()),
        }

    def _step(self, given: Valued, chosen: Sequence[int], pulls_M: Tensor) -> None:
        """Give the pulls as weights and make one step on their gradients."""
        settings = self.settings
        episodes = [given.episodes[i] for i in chosen]
        lengths = [len(one.completion_token_ids) for one in episodes]
        normaliser = token_weight(given.episodes) * sum(lengths)
        parts = torch.split(pulls_M, lengths)
        data = [
            datum(one, (part * (one.weight / normaliser)).tolist())
            for one, part in zip(episodes, parts, strict=True)
        ]
        finite(self.service.forward_backward(data))
        warmth = min(1.0, (self.made + 1) / (settings.warmup_steps + 1))
        self.service.step(
            AdamStep(
                learning_rate=settings.learning_rate * warmth,
                beta1=settings.beta1,
                beta2=settings.beta2,
                eps=settings.eps,
                clip_norm=settings.clip_norm,
            )
        )
        self.made += 1


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
    chosen = at_temperature_one(select_episodes(batch, settings, vocabulary))
    try:
        given = valued_by(ServiceScoring(service, settings), estimators, chosen)
        share = first_share(given.episodes, given.advantages, given.scores, settings)
        given.metrics["ess/before"] = share
        if share < settings.ess_floor:
            raise worth_too_little(chosen, given, share, settings)
        people = [one for one in chosen.held_out if one.person]
        liked = _likelihoods(service, people)
        metrics = given.metrics | steps.optimise(batch.batch_id, given, progress)
        weighable = [one for one in chosen.held_out if not one.person]
        metrics |= _after(service, estimators, given, settings, batch.batch_id)
        metrics["after/kl/anchor"] = _apart_from_base(service, weighable or given.episodes)
        metrics |= batch_metrics(batch, chosen, given.episodes, given.baselines)
        metrics |= lane_rewards(metrics, given.episodes)
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
    told = {f"after/{name}": value for name, value in means(ratio_sums(new, measured)).items()}
    told["drift"] = record_drift(estimators, measured, [given.scores.logp[i] for i in some], new)
    return told


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


def _told(totals: Mapping[str, float], shares: Sequence[float], steps: int) -> dict[str, float]:
    return {
        **means(dict(totals)),
        "ess/least": min(shares),
        "ess/last": shares[-1],
        "steps": float(steps),
    }
