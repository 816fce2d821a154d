"""Update: one sealed batch applied to the learner, all of it or nothing (CONTRACTS 18)."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
from torch import Tensor

from ...streams.join import fate
from ..candidate import HeldOut, Preference, Probe
from ..sealed import RATIO, SealedBatch, SealedEpisode
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
from .score import Scores, score
from .selection import Selection, select_episodes
from .state import Learner, LearnerSnapshot
from .steps import BatchGivenUp, LanePart, LaneParts, Lanes, first_share, optimise, ratio_alone
from .valued import NothingLeft, Valued, valued

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
        first = _valued(learner, fit, chosen, made, batch.batch_id)
        given = _worth_a_step(learner, chosen, first, parts)
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


def _valued(
    learner: Learner,
    fit: Selection,
    chosen: Selection,
    made: LaneParts,
    batch_id: int,
) -> Valued | None:
    """Return the ratio lane's episodes, or None where there are none and other lanes have some.

    What no lane could use is left out, by the rule of `unfit` where there is one. Raises BatchGivenUp where that is all.
    """
    taught = {one.generation_id for part in made.parts for one in part.taught}
    for episode in fit.episodes:
        if not episode.in_lane(RATIO) and episode.generation_id not in taught:
            rule = made.unfit.get(episode.generation_id, fate.NO_SPREAD)
            chosen.left_out[episode.generation_id] = rule
    try:
        given = valued(learner, chosen, batch_id)
    except NothingLeft:
        if not taught:
            raise
        given = None
    for name in taught & chosen.left_out.keys():
        del chosen.left_out[name]  # Without spread in the ratio lane, another one learns from it.
    return given


def _worth_a_step(
    learner: Learner, chosen: Selection, given: Valued | None, parts: Sequence[LanePart]
) -> Valued | None:
    """Return the ratio lane's episodes, or the other lanes' alone where the ratios say too little.

    That is below `ess_floor`; then those that no other lane learns from are left out. Raises BatchGivenUp where that is all.
    """
    if given is None:
        return None
    settings = learner.settings
    share = first_share(given.episodes, given.advantages, given.scores, settings)
    given.metrics["ess/before"] = share
    if share >= settings.ess_floor:
        return given
    taught = {one.generation_id for part in parts for one in part.taught}
    if not taught:
        raise worth_too_little(chosen, given, share, settings)
    names = [one.generation_id for one in given.episodes]
    chosen.left_out.update({name: fate.LOW_ESS for name in names if name not in taught})
    without = _without_ratio(learner, parts)
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
    given: Valued | None,
    parts: Sequence[LanePart],
    progress: Callable[[int, int], None],
    weights: Mapping[str, Tensor],
) -> Update:
    anchored = learner.settings.kl_weight > 0.0
    given = given or _without_ratio(learner, parts)
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
    metrics |= {f"after/{name}": value for name, value in _told(new, ratio).items()}
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


def _without_ratio(learner: Learner, parts: Sequence[LanePart]) -> Valued:
    """Return some of the other lanes' episodes, which say how far the policy moves; none has an advantage."""
    episodes = [one for part in parts for one in part.taught][:DRIFT_EPISODES]
    scores = score(learner, episodes, anchor=learner.settings.kl_weight > 0.0)
    metrics = {f"before/{name}": value for name, value in _told(scores, ()).items()}
    return Valued(episodes=episodes, baselines=[], advantages=[], scores=scores, metrics=metrics)


def _told(scores: Scores, ratio: Sequence[SealedEpisode]) -> dict[str, float]:
    """Return what was scored; of ratios nothing where no episode has one."""
    return {
        name: value
        for name, value in scores.metrics.items()
        if ratio or not name.startswith("ratio/")
    }
