"""Valued: a batch's episodes before the first step, each with its advantage."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from ...streams.join import fate
from ..estimators.advantage import per_reward, standardised
from ..estimators.explained import estimator_metrics
from ..estimators.side_by_side import Estimators
from ..estimators.spread import told_apart, with_spread
from ..estimators.token_advantage import token_advantages
from ..sealed import SealedEpisode
from ..settings import LearnerSettings
from .loss import REPORTED, means
from .mismatch import mismatch_metrics
from .score import Scores, anchor_states, score
from .selection import Selection
from .state import Learner
from .steps import BatchGivenUp, add_gradients, only_step
from .weight import token_weight

ROUNDING = 1e-9
"""An advantage that is smaller is rounding."""


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
    first: dict[str, float] | None = None
    """Sums of the first step, where it was what scored them: its gradients are there."""


class NothingLeft(BatchGivenUp):
    """A batch of which nothing can be learned by ratios."""


class EpisodeScoring(Protocol):
    """Says log-probabilities of a batch's episodes before the first step."""

    @property
    def settings(self) -> LearnerSettings:
        """How to learn."""
        ...

    @property
    def averaged(self) -> bool:
        """Whether what is offered is not what scores (`mismatch_metrics`)."""
        ...

    def anchored(self, episodes: Sequence[SealedEpisode]) -> tuple[list[Tensor], Tensor | None]:
        """Return the anchor's states of the episodes, and of their prompts; none where nothing needs them."""
        ...

    def scored(
        self,
        episodes: Sequence[SealedEpisode],
        kept: Sequence[int],
        advantages: Sequence[Tensor],
        anchors: list[Tensor],
    ) -> tuple[Scores, dict[str, float] | None]:
        """Score all of them, and return the sums of the first step where that was the scoring."""
        ...

    def measured(self, episodes: Sequence[SealedEpisode]) -> Scores:
        """Score episodes that no step is made on, as what says how far the policy moves."""
        ...


def valued_by(scoring: EpisodeScoring, estimators: Estimators, chosen: Selection) -> Valued:
    """Score the episodes, hold each against its baseline, and let all estimators take them up.

    An episode whose reward cannot say which answer was better is left out (`chosen.left_out`). Raises
    NothingLeft where none is left; where that is so by the rewards alone, before any pass.
    """
    episodes, settings = chosen.episodes, scoring.settings
    _leave_out(chosen, with_spread(episodes))
    anchors, states_ND = scoring.anchored(episodes)
    expected = estimators.baselines(episodes, states_ND)
    values = told_apart(episodes, expected[settings.estimator])
    kept = _leave_out(chosen, [value is not None for value in values])
    advantages = _advantages(episodes, values, settings)
    if not any(bool((each.abs() > ROUNDING).any()) for each in advantages):
        _leave_out(chosen, [False] * len(episodes))  # As of one alone: advantages are centred.
    estimators.observe(episodes, states_ND)
    of_kept = {name: [each[i] for i in kept] for name, each in expected.items()}
    ours = [episodes[i] for i in kept]
    told = estimator_metrics(ours, of_kept)
    scores, first = scoring.scored(episodes, kept, advantages, anchors)
    return Valued(
        episodes=ours,
        baselines=[value for value in values if value is not None],
        advantages=advantages,
        scores=replace(
            scores,
            logp=[scores.logp[i] for i in kept],
            anchor=[scores.anchor[i] for i in kept] if scores.anchor else [],
        ),
        metrics={
            **{f"before/{name}": value for name, value in scores.metrics.items()},
            **told,
            "advantage/spread": told[f"estimator/{settings.estimator}/advantage_spread"],
            **estimators.metrics(),
            **mismatch_metrics(
                episodes, scores.logp, settings.mismatch_difference, averaged=scoring.averaged
            ),
        },
        first=first,
    )


def _advantages(
    episodes: Sequence[SealedEpisode], values: Sequence[float | None], settings: LearnerSettings
) -> list[Tensor]:
    """Return those of each kept episode's tokens."""
    tokens = [e.weight * len(e.completion_token_ids) for e in episodes]
    rewards, floor = [e.earned for e in episodes], settings.advantage_floor
    scaled = standardised(rewards, values, tokens, floor=floor)
    unit = settings.token_credit * per_reward(rewards, values, tokens, floor=floor)
    return [
        token_advantages(episode, advantage, unit)
        for episode, advantage in zip(episodes, scaled, strict=True)
        if advantage is not None
    ]


class OwnScoring(EpisodeScoring):
    """The learner of this process.

    Where one step takes all episodes, and the trust region does not ask for the log-probabilities before
    it, the step's own forward is the scoring (`Valued.first`).
    """

    def __init__(self, learner: Learner, batch_id: int) -> None:
        self.learner, self.batch_id = learner, batch_id

    @property
    def settings(self) -> LearnerSettings:
        """As EpisodeScoring says."""
        return self.learner.settings

    @property
    def averaged(self) -> bool:
        """As EpisodeScoring says."""
        return self.learner.average is not None

    def anchored(self, episodes: Sequence[SealedEpisode]) -> tuple[list[Tensor], Tensor | None]:
        """As EpisodeScoring says."""
        return _anchored(self.learner, episodes)

    def scored(
        self,
        episodes: Sequence[SealedEpisode],
        kept: Sequence[int],
        advantages: Sequence[Tensor],
        anchors: list[Tensor],
    ) -> tuple[Scores, dict[str, float] | None]:
        """As EpisodeScoring says."""
        return _scored(self.learner, episodes, kept, advantages, anchors, self.batch_id)

    def measured(self, episodes: Sequence[SealedEpisode]) -> Scores:
        """As EpisodeScoring says."""
        return score(self.learner, episodes, anchor=self.settings.kl_weight > 0.0)


def _anchored(
    learner: Learner, episodes: Sequence[SealedEpisode]
) -> tuple[list[Tensor], Tensor | None]:
    """Return the anchor's states of the episodes, and of their prompts; none where nothing needs them."""
    anchored = learner.settings.kl_weight > 0.0
    if not anchored and learner.settings.estimator != "contextual":
        return [], None
    return anchor_states(learner, episodes, prompts_alone=not anchored)


def _scored(
    learner: Learner,
    episodes: Sequence[SealedEpisode],
    kept: Sequence[int],
    advantages: Sequence[Tensor],
    anchors: list[Tensor],
    batch_id: int,
) -> tuple[Scores, dict[str, float] | None]:
    """Score the episodes, by the first step where it takes them all; then its sums are returned too."""
    alone = len(kept) == len(episodes) and not learner.settings.region.proximal
    step = only_step(learner, batch_id, episodes) if alone else None
    if step is None:
        return score(learner, episodes, anchor=bool(anchors), anchors=anchors), None
    scores = Scores(logp=[], anchor=anchors, metrics={})
    learner.optimizer.zero_grad()
    sums = add_gradients(learner, step, episodes, advantages, scores, token_weight(episodes))
    return replace(scores, metrics=means({name: sums[name] for name in REPORTED})), sums


def _leave_out(chosen: Selection, kept: Sequence[bool]) -> list[int]:
    """Leave out the others and return the indices of those that are kept."""
    for episode, keep in zip(chosen.episodes, kept, strict=True):
        if not keep:
            chosen.left_out[episode.generation_id] = fate.NO_SPREAD
    if not any(kept):
        raise NothingLeft(_nothing_left(chosen.left_out, chosen))
    return [index for index, keep in enumerate(kept) if keep]


def _nothing_left(left_out: Mapping[str, str], chosen: Selection) -> str:
    held_out = {episode.generation_id for episode in chosen.held_out}
    rules = Counter(rule for name, rule in left_out.items() if name not in held_out)
    counts = ", ".join(f"{count} {rule}" for rule, count in sorted(rules.items()))
    return f"no episode of {sum(rules.values())} can be learned from: {counts}"
