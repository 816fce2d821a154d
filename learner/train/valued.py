"""Valued: a batch's episodes before the first step, each with its advantage."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ...streams.join import fate
from ..estimators.advantage import per_reward, standardised
from ..estimators.explained import estimator_metrics
from ..estimators.spread import told_apart, with_spread
from ..sealed import SealedEpisode
from .mismatch import mismatch_metrics
from .score import Scores, prompt_states, score
from .selection import Selection
from .state import Learner
from .steps import BatchGivenUp
from .token_advantage import token_advantages


@dataclass(frozen=True, slots=True, kw_only=True)
class Valued:
    """What the steps are made on: an entry for each episode that can be learned from."""

    episodes: list[SealedEpisode]
    """In the batch's order."""
    baselines: list[float]
    """What each was expected to earn by the estimator in use."""
    advantages: list[Tensor]
    """Of each one's tokens."""
    scores: Scores
    """Theirs, before the first step."""
    metrics: dict[str, float]
    """Of the weights before the steps, and of every estimator."""


def valued(learner: Learner, chosen: Selection) -> Valued:
    """Score the episodes, hold each against its baseline, and let all estimators take them up.

    An episode whose reward cannot say which answer was better is left out (`chosen.left_out`).
    Raises BatchGivenUp where none is left; where that is so by the rewards alone, before any pass.
    """
    episodes, settings = chosen.episodes, learner.settings
    _leave_out(chosen, with_spread(episodes))
    scores = score(learner, episodes, anchor=settings.kl_weight > 0.0)
    states_ND = _states(learner, episodes, scores)
    expected = learner.estimators.baselines(episodes, states_ND)
    values = told_apart(episodes, expected[settings.estimator])
    kept = _leave_out(chosen, [value is not None for value in values])
    tokens = [e.weight * len(e.completion_token_ids) for e in episodes]
    rewards, floor = [e.earned for e in episodes], settings.advantage_floor
    scaled = standardised(rewards, values, tokens, floor=floor)
    unit = settings.token_credit * per_reward(rewards, values, tokens, floor=floor)
    learner.estimators.observe(episodes, states_ND)
    of_kept = {name: [each[i] for i in kept] for name, each in expected.items()}
    ours = [episodes[i] for i in kept]
    told = estimator_metrics(ours, of_kept)
    return Valued(
        episodes=ours,
        baselines=[value for value in values if value is not None],
        advantages=[
            token_advantages(episode, advantage, unit)
            for episode, advantage in zip(episodes, scaled, strict=True)
            if advantage is not None
        ],
        scores=replace(
            scores,
            logp=[scores.logp[i] for i in kept],
            anchor=[scores.anchor[i] for i in kept] if scores.anchor else [],
        ),
        metrics={
            **{f"before/{name}": value for name, value in scores.metrics.items()},
            **told,
            "advantage/spread": told[f"estimator/{settings.estimator}/advantage_spread"],
            **learner.estimators.metrics(),
            **mismatch_metrics(
                episodes, scores.logp, settings.mismatch_difference, averaged=settings.average > 0
            ),
        },
    )


def _states(learner: Learner, episodes: Sequence[SealedEpisode], scores: Scores) -> Tensor | None:
    """Return the prompts' states out of the anchor's pass, or by one of its own where they are needed."""
    if scores.states_ND is None and learner.settings.estimator == "contextual":
        return prompt_states(learner, episodes)
    return scores.states_ND


def _leave_out(chosen: Selection, kept: Sequence[bool]) -> list[int]:
    """Leave out the others and return the indices of those that are kept."""
    for episode, keep in zip(chosen.episodes, kept, strict=True):
        if not keep:
            chosen.left_out[episode.generation_id] = fate.NO_SPREAD
    if not any(kept):
        raise BatchGivenUp(_nothing_left(chosen.left_out, chosen))
    return [index for index, keep in enumerate(kept) if keep]


def _nothing_left(left_out: Mapping[str, str], chosen: Selection) -> str:
    held_out = {episode.generation_id for episode in chosen.held_out}
    rules = Counter(rule for name, rule in left_out.items() if name not in held_out)
    counts = ", ".join(f"{count} {rule}" for rule, count in sorted(rules.items()))
    return f"no episode of {sum(rules.values())} can be learned from: {counts}"
