"""Update: one sealed batch applied to the learner, all of it or nothing (CONTRACTS 18)."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
from torch import Tensor

from ...streams.join import fate
from ..candidate import HeldOut, Preference, Probe
from ..estimators.side_by_side import Estimators
from ..sealed import RATIO, SealedBatch
from ..settings import LearnerSettings
from .evidence import (
    batch_metrics,
    held_out_evidence,
    lane_rewards,
    measured_after,
    preference_evidence,
    record_drift,
    token_likelihoods,
)
from .score import score
from .selection import Selection, select_episodes
from .state import Learner, LearnerSnapshot
from .steps import BatchGivenUp, LanePart, LaneParts, Lanes, first_share, optimise, ratio_alone
from .valued import EpisodeScoring, NothingLeft, OwnScoring, Valued, valued_by

DRIFT_EPISODES = 32
"""Answers of the other lanes on which the policy is measured where the ratio lane makes no step, and of any
on which a training service tells the drift from v0."""


OF_RATIOS = ("ess/", "mismatch/", "staleness/", "before/ratio/")
"""What is measured of the ratio lane's answers before the first step, and told though it makes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Evidence and measurements of an applied batch."""

    held_out: HeldOut | None
    """Evidence for the gate."""
    preference: Preference | None
    """Likewise, of answers without usable ratios."""
    probe: Probe
    """What a server of the new weights must answer."""
    metrics: dict[str, float]
    """Slash-grouped, all finite."""
    left_out: dict[str, str]
    """Generation ids of the batch that were not used, each with its rule."""


def apply_batch(
    learner: Learner,
    batch: SealedBatch,
    progress: Callable[[int, int], None] | None = None,
    lanes: Lanes = ratio_alone,
    before: LearnerSnapshot | None = None,
) -> Update:
    """Go over the batch's episodes `passes` times and return the evidence.

    `progress(done, of)` is called after each optimizer step. The order of episodes depends on seed
    and batch id alone, so that applying a batch again to the same checkpoint gives the same bits.
    `lanes` builds what the lanes beside the ratio lane learn, and `before` is a snapshot of now for who has one. An episode that is unfit, or whose segment
    or lane has no spread, is left out alone (`left_out`).
    Raises BatchGivenUp, with everything put back, where none is left, or a loss or gradient is not
    finite; that is found before the step that would have spread it.
    """
    before = before or learner.snapshot()
    policy = learner.policy
    fit = select_episodes(batch, learner.settings, policy.vocabulary, policy.mixture)
    chosen = replace(fit, episodes=tuple(one for one in fit.episodes if one.in_lane(RATIO)))
    try:
        made = lanes(learner, fit.episodes, batch.batch_id)
        parts = made.parts
        scoring = OwnScoring(learner, batch.batch_id)
        given = valued_beside(scoring, learner.estimators, fit, chosen, made)
        return _applied(
            learner,
            batch,
            chosen,
            given,
            parts,
            progress or (lambda done, of: None),
            before.weights,
        )
    except BatchGivenUp as problem:
        learner.restore(before)
        problem.left_out = chosen.left_out
        raise


def valued_beside(
    scoring: EpisodeScoring,
    estimators: Estimators,
    fit: Selection,
    chosen: Selection,
    made: LaneParts,
) -> Valued:
    """Return the ratio lane's episodes, `chosen` of those that are fit, beside what other lanes learn.

    Where there are none, or their ratios say too little, some of the other lanes' without advantages. What
    no lane could use is left out, by the rule of `unfit` where there is one; BatchGivenUp where that is all.
    """
    given = _valued(scoring, estimators, fit, chosen, made)
    return _worth_a_step(scoring, chosen, given, made.parts)


def _valued(
    scoring: EpisodeScoring,
    estimators: Estimators,
    fit: Selection,
    chosen: Selection,
    made: LaneParts,
) -> Valued | None:
    taught = {one.generation_id for part in made.parts for one in part.taught}
    for episode in fit.episodes:
        if not episode.in_lane(RATIO) and episode.generation_id not in taught:
            rule = made.unfit.get(episode.generation_id, fate.NO_SPREAD)
            chosen.left_out[episode.generation_id] = rule
    try:
        given = valued_by(scoring, estimators, chosen)
    except NothingLeft:
        if not taught:
            raise
        given = None
    for name in taught & chosen.left_out.keys():
        del chosen.left_out[name]  # Without spread in the ratio lane, another one learns from it.
    return given


def _worth_a_step(
    scoring: EpisodeScoring,
    chosen: Selection,
    given: Valued | None,
    parts: Sequence[LanePart],
) -> Valued:
    """Return the other lanes' episodes where the ratios say too little: are worth less than `ess_floor`.

    Then those that no other lane learns from are left out. Raises BatchGivenUp where that is all.
    """
    if given is None:
        return _without_ratio(scoring, parts)
    settings = scoring.settings
    share = first_share(given.episodes, given.advantages, given.scores, settings)
    given.metrics["ess/before"] = share
    if share >= settings.ess_floor:
        return given
    taught = {one.generation_id for part in parts for one in part.taught}
    if not taught:
        raise worth_too_little(chosen, given, share, settings)
    names = [one.generation_id for one in given.episodes]
    chosen.left_out.update({name: fate.LOW_ESS for name in names if name not in taught})
    without = _without_ratio(scoring, parts)
    # What says why the ratios are worth so little: the mismatch that is alarmed about, too.
    told = {n: v for n, v in given.metrics.items() if n.startswith(OF_RATIOS)}
    return replace(without, metrics=without.metrics | told)


def worth_too_little(
    chosen: Selection, given: Valued, share: float, settings: LearnerSettings
) -> BatchGivenUp:
    """Leave all of a batch out for its ratios, which nothing else learns from; return what to raise."""
    names = [one.generation_id for one in given.episodes]
    # Nor is there a version that those held out could be evidence for.
    for name in (*names, *(one.generation_id for one in chosen.held_out)):
        chosen.left_out[name] = fate.LOW_ESS
    return BatchGivenUp(
        f"the ratios of {len(names)} episodes are worth {share:.3g} of their tokens: learner.ess_floor "
        f"is {settings.ess_floor:g} ({fate.LOW_ESS}){_apart_from_engine(given.metrics)}"
    )


def _apart_from_engine(metrics: Mapping[str, float]) -> str:
    """Return how far learner and engine are apart: ratios of one or the other's fault are not the lag's."""
    if not metrics["mismatch/tokens"]:
        return ""
    told = f"{metrics['mismatch/k3']:.3g} (k3) on {metrics['mismatch/tokens']:.0f} tokens"
    return f"; learner and engine are apart by {told} of the weights that score"


def _applied(
    learner: Learner,
    batch: SealedBatch,
    chosen: Selection,
    given: Valued,
    parts: Sequence[LanePart],
    progress: Callable[[int, int], None],
    weights: Mapping[str, Tensor],
) -> Update:
    anchored = learner.settings.kl_weight > 0.0
    episodes, old, metrics = given.episodes, given.scores, dict(given.metrics)
    ratio = episodes if given.advantages else []
    people = [one for one in chosen.held_out if one.person]
    liked = token_likelihoods(learner, people)
    metrics |= optimise(
        learner, batch.batch_id, ratio, given.advantages, old, progress, parts, given.first
    )
    draw = random.Random(f"{learner.settings.seed}/{batch.batch_id}/after")
    some = measured_after(episodes, draw)
    measured = [episodes[i] for i in some]
    anchors = [old.anchor[i] for i in some] if old.anchor else []
    # The gate has a budget of drift, whether or not the loss is told of the anchor.
    new = score(learner, measured, anchor=True, anchors=anchors)
    metrics |= {f"after/{name}": value for name, value in told_of(new.metrics, ratio).items()}
    metrics["drift"] = record_drift(
        learner.estimators, measured, [old.logp[i] for i in some], new.logp
    )
    metrics |= batch_metrics(batch, chosen, ratio, given.baselines) | lane_rewards(metrics, ratio)
    if anchored and (spread := metrics.get("advantage/spread")):
        metrics["kl/pull"] = learner.settings.kl_weight * metrics["kl/anchor"] / spread
    apart = learner.follow(weights)
    if learner.average is not None:
        metrics["average/apart"] = apart
    with learner.offered():
        if learner.average is not None:
            averaged = score(learner, measured, anchor=True, anchors=new.anchor)
            metrics["after/kl/anchor"] = averaged.metrics["kl/anchor"]
        weighable = [one for one in chosen.held_out if not one.person]
        held_out, probe = held_out_evidence(learner, weighable), learner.probe()
    preference = preference_evidence(people, liked, token_likelihoods(learner, people))
    all_finite(metrics, held_out, preference)
    return Update(
        held_out=held_out,
        preference=preference,
        probe=probe,
        metrics=metrics,
        left_out=chosen.left_out,
    )


def all_finite(
    metrics: Mapping[str, float], held_out: HeldOut | None, preference: Preference | None
) -> None:
    """Give the batch up where a number is not finite.

    The evidence's too: a number that JSON does not hold could not be read again by the gate.
    """
    numbers = dict(metrics)
    for name, found in (("held_out", held_out), ("preference", preference)):
        told = {} if found is None else msgspec.structs.asdict(found)
        numbers |= {f"{name}/{key}": value for key, value in told.items()}
    if odd := [name for name, value in numbers.items() if not math.isfinite(value)]:
        raise BatchGivenUp(f"not finite: {', '.join(odd)}")


def _without_ratio(scoring: EpisodeScoring, parts: Sequence[LanePart]) -> Valued:
    """Return some of the other lanes' episodes, which say how far the policy moves; none has an advantage."""
    episodes = [one for part in parts for one in part.taught][:DRIFT_EPISODES]
    scores = scoring.measured(episodes)
    metrics = {f"before/{name}": value for name, value in told_of(scores.metrics, ()).items()}
    return Valued(episodes=episodes, baselines=[], advantages=[], scores=scores, metrics=metrics)


def told_of(found: Mapping[str, float], ratio: Sequence[object]) -> dict[str, float]:
    """Return what was scored; of ratios nothing where no episode has one."""
    return {n: value for n, value in found.items() if ratio or not n.startswith("ratio/")}
