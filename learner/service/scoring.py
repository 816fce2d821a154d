"""Scoring: a batch's episodes as data of a training service, and what its log-probabilities say of them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...kernels.dispatch import log_ratios
from ...streams.join import fate
from ..sealed import RATIO, SealedEpisode
from ..settings import LearnerSettings
from ..train.loss import means
from ..train.score import Scores
from ..train.selection import Selection
from ..train.steps import BatchGivenUp
from .port import Datum, Logprobs, TrainingService


class ServiceScoring:
    """Says log-probabilities before the first step (`train.valued.EpisodeScoring`)."""

    averaged = False

    def __init__(self, service: TrainingService, settings: LearnerSettings) -> None:
        self.service, self._settings = service, settings

    @property
    def settings(self) -> LearnerSettings:
        """How to learn."""
        return self._settings

    def anchored(self, episodes: Sequence[SealedEpisode]) -> tuple[list[Tensor], Tensor | None]:
        """Return nothing: a service says no hidden states."""
        return [], None

    def scored(
        self,
        episodes: Sequence[SealedEpisode],
        kept: Sequence[int],
        advantages: Sequence[Tensor],
        anchors: list[Tensor],
    ) -> tuple[Scores, dict[str, float] | None]:
        """Score all of them; the first step takes weights that follow from it."""
        logp = scored(self.service, episodes)
        return Scores(logp=logp, anchor=[], metrics=means(ratio_sums(logp, episodes))), None

    def measured(self, episodes: Sequence[SealedEpisode]) -> Scores:
        """Score them."""
        logp = scored(self.service, episodes)
        return Scores(logp=logp, anchor=[], metrics=means(ratio_sums(logp, episodes)))


def datum(episode: SealedEpisode, weights: Sequence[float] = ()) -> Datum:
    """Return an episode's tokens as a service takes them."""
    return Datum(
        prompt_token_ids=episode.prompt_token_ids,
        token_ids=episode.completion_token_ids,
        weights=tuple(weights),
    )


def scored(service: TrainingService, episodes: Sequence[SealedEpisode]) -> list[Tensor]:
    """Return the tokens' log-probabilities of each episode; BatchGivenUp where one is not finite."""
    return finite(service.logprobs([datum(one) for one in episodes])) if episodes else []


def finite(found: Logprobs) -> list[Tensor]:
    """Return log-probabilities as tensors; raises BatchGivenUp where one is not finite."""
    tensors = [torch.tensor(each) for each in found]
    if not all(bool(torch.isfinite(each).all()) for each in tensors):
        raise BatchGivenUp("the training service's log-probabilities are not finite")
    return tensors


def behaviour(episodes: Sequence[SealedEpisode]) -> list[Tensor]:
    """Return the log-probabilities that the tokens were drawn with."""
    return [torch.tensor(one.logprobs) for one in episodes]


def ratio_sums(logp: Sequence[Tensor], episodes: Sequence[SealedEpisode]) -> dict[str, float]:
    """As `train.loss.ratio_sums`, without what only the whole vocabulary tells."""
    log_ratio_M = log_ratios(torch.cat(list(logp)), torch.cat(behaviour(episodes)))
    ratio_M = log_ratio_M.exp()
    return {
        "tokens": float(len(ratio_M)),
        "ratio/k3": float((log_ratio_M.expm1() - log_ratio_M).sum()),
        "ratio/mean": float(ratio_M.sum()),
        "ratio/squares": float(ratio_M.square().sum()),
    }


def kl_estimate(
    logp: Sequence[Tensor], base: Sequence[Tensor], episodes: Sequence[SealedEpisode]
) -> float:
    """Estimate KL(policy to base) a token on tokens that an earlier policy drew.

    The mean of r (b - log b - 1) over tokens, b the base's probability over the policy's and r the
    policy's over that when drawn: never negative, and exact in expectation (Schulman 2020).
    """
    logp_M, base_M = torch.cat(list(logp)), torch.cat(list(base))
    apart_M = log_ratios(base_M, logp_M)
    ratio_M = log_ratios(logp_M, torch.cat(behaviour(episodes))).exp()
    return float((ratio_M * (apart_M.expm1() - apart_M)).mean())


def at_temperature_one(fit: Selection) -> Selection:
    """Return what is learned from by ratios; leave out what was drawn at another temperature than 1.

    A service says log-probabilities at 1 alone. Another lane may still learn from what is left out. Of
    what is held out all that was drawn stays.
    """
    left_out = dict(fit.left_out)
    for one in (*fit.episodes, *fit.held_out):
        if one.in_lane(RATIO) and not one.person and not math.isclose(one.temperature, 1.0):
            left_out[one.generation_id] = fate.OTHER_TEMPERATURE
    for one in fit.held_out:
        if not one.completion_token_ids:
            left_out[one.generation_id] = fate.NO_TOKENS
        elif not one.in_lane(RATIO) and not one.person:
            left_out[one.generation_id] = fate.NO_SPREAD
    return Selection(
        episodes=tuple(
            e for e in fit.episodes if e.in_lane(RATIO) and e.generation_id not in left_out
        ),
        held_out=tuple(e for e in fit.held_out if e.generation_id not in left_out),
        left_out=left_out,
    )
