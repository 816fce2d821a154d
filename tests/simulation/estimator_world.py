"""A recorded log with prompts of very different difficulty, whose truth is known.

A prompt has a hidden difficulty that bends through a random network into the state that the learner
sees; its segment shifts it, and a release of the product lifts what its answers earn. Four answers are
possible, one of them better than the others by a fixed amount of log-odds, another one in each segment.
The policy is a table of logits, a row for each segment. Legend: N episodes, D width, K latent numbers, A answers.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from rlwd.learner.estimators.advantage import standardised
from rlwd.learner.estimators.side_by_side import Estimators
from rlwd.learner.sealed import SealedEpisode
from rlwd.learner.settings import LearnerSettings

Name = Literal["tracker", "exponential_mean", "reinforce_plus_plus", "contextual"]
NAMES: tuple[Name, ...] = ("tracker", "exponential_mean", "reinforce_plus_plus", "contextual")
ANSWERS, LATENT = 4, 8
SEGMENTS = 12
RATIO_CAP = 2.0
RELEASE_AT, RELEASE_LIFT = 10, 1.0
"""From this batch on a share of the requests comes from a release whose answers earn more, in log-odds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A batch of the log."""

    episodes: list[SealedEpisode]
    states_ND: Tensor
    """What the learner sees of the prompts."""
    segments_N: Tensor
    """Row of the policy."""
    answers_N: Tensor
    """What was answered."""
    odds_NA: Tensor
    """True log-odds of each answer's being taken."""
    behaviour_N: Tensor
    """Log-probability of the answer when it was given."""

    def expected(self, logp_SA: Tensor) -> Tensor:
        """Return the true expected reward [N] of each prompt under a policy."""
        return (logp_SA[self.segments_N].exp() * self.odds_NA.sigmoid()).sum(1)


@dataclass(slots=True)
class EstimatorWorld:
    """Prompts, people and what they take."""

    seed: int
    hardness: float = 2.5
    """Spread of the prompts' difficulty, in log-odds."""
    width: int = 512
    """D."""
    gain: float = 1.0
    """By how much the better answer is better, in log-odds."""
    draw: torch.Generator = field(init=False)
    warp_KD: Tensor = field(init=False)
    level_S: Tensor = field(init=False)
    best_S: Tensor = field(init=False)
    shares_S: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.draw = torch.Generator().manual_seed(self.seed)
        size = (LATENT, self.width)
        self.warp_KD = torch.randn(size, generator=self.draw) / math.sqrt(LATENT)
        self.level_S = torch.randn(SEGMENTS, generator=self.draw)
        self.best_S = torch.randint(ANSWERS, (SEGMENTS,), generator=self.draw)
        # Few segments have most of the traffic.
        self.shares_S = 1.0 / (1.0 + torch.arange(SEGMENTS))

    def batch(self, number: int, count: int, logp_SA: Tensor) -> Recorded:
        """Record the answers of a policy to prompts that are new each time."""
        draw, size = self.draw, (count, LATENT)
        latent_NK = torch.randn(size, generator=draw)
        segments_N = torch.multinomial(self.shares_S, count, True, generator=draw)
        noise_ND = torch.randn(count, self.width, generator=draw)
        states_ND = torch.tanh(latent_NK @ self.warp_KD + 0.5) + 0.3 * noise_ND
        new_N = (torch.rand(count, generator=draw) < 0.4) & (number >= RELEASE_AT)
        hard_N = self.hardness * latent_NK[:, 0] * latent_NK[:, 1].sign().clamp_min(0.0).add(0.5)
        better_NA = torch.arange(ANSWERS) == self.best_S[segments_N][:, None]
        odds_NA = (hard_N + self.level_S[segments_N] + RELEASE_LIFT * new_N)[:, None]
        odds_NA = odds_NA + self.gain * better_NA
        answers_N = torch.multinomial(logp_SA[segments_N].exp(), 1, generator=draw)[:, 0]
        rows = torch.arange(count)
        luck_N = torch.rand(count, generator=draw)
        rewards_N = (luck_N < odds_NA[rows, answers_N].sigmoid()).double()
        behaviour_N = logp_SA[segments_N, answers_N]
        made = zip(
            segments_N.tolist(), answers_N.tolist(), behaviour_N.tolist(), rewards_N.tolist(),
            new_N.tolist(), strict=True,
        )  # fmt: skip
        return Recorded(
            episodes=[
                SealedEpisode(
                    generation_id=f"b{number}.{place}",
                    segment=f"kind {segment}",
                    harness="2.0" if new else "1.0",
                    version="",
                    age=0,
                    prompt_token_ids=(segment,),
                    completion_token_ids=(answer,),
                    logprobs=(min(logp, 0.0),),
                    temperature=1.0,
                    reward=reward,
                    reward_revision=0,
                )
                for place, (segment, answer, logp, reward, new) in enumerate(made)
            ],
            states_ND=states_ND,
            segments_N=segments_N,
            answers_N=answers_N,
            odds_NA=odds_NA,
            behaviour_N=behaviour_N,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldRound:
    """What one estimator did with one batch of the log."""

    regret: float
    """True expected reward of the best answers minus the policy's, mean over the batch's prompts."""
    variance: float
    """Second moment of the gradient's estimate over that without a baseline."""
    off: float
    """Mean square of baseline minus true expected reward."""
    explained: float
    """Share of the rewards' variance that was expected."""


def uniform() -> Tensor:
    """Return the log-probabilities [S, A] of a policy that has learned nothing."""
    return torch.zeros(SEGMENTS, ANSWERS).log_softmax(-1)


def learn_from_log(
    log: list[Recorded], name: Name, settings: LearnerSettings, rate: float
) -> list[WorldRound]:
    """Learn a policy from one recorded log, batch by batch, off the policy that answered.

    A batch makes one step of plain gradient on the mean over its answers of min(ratio, cap) times the
    advantage on the learner's scale, so that the estimators differ in nothing else; no answer is left out.
    """
    estimator = Estimators.new(settings).named()[name]
    table_SA = torch.zeros(SEGMENTS, ANSWERS)
    rounds = []
    for batch in log:
        logp_SA = table_SA.log_softmax(-1)
        values = estimator.baselines(batch.episodes, batch.states_ND)
        baseline_N = torch.tensor([0.5 if value is None else value for value in values])
        estimator.observe(batch.episodes, batch.states_ND)
        rewards_N = torch.tensor([episode.reward for episode in batch.episodes])
        now_N = logp_SA[batch.segments_N, batch.answers_N]
        ratio_N = (now_N - batch.behaviour_N).exp().clamp_max(RATIO_CAP)
        chosen_NA = torch.nn.functional.one_hot(batch.answers_N, ANSWERS).float()
        slope_NA = chosen_NA - logp_SA[batch.segments_N].exp()
        weight_N = (ratio_N**2) * slope_NA.square().sum(1)
        scaled = standardised(
            rewards_N.tolist(), baseline_N.tolist(), [1.0] * len(values), floor=0.05
        )
        pull_N = ratio_N * torch.tensor([one or 0.0 for one in scaled])
        best_N = batch.odds_NA.sigmoid().max(1).values
        truth_N = batch.expected(logp_SA)
        total_N = rewards_N - rewards_N.mean()
        rounds.append(
            WorldRound(
                regret=float((best_N - truth_N).mean()),
                variance=float(
                    (weight_N * (rewards_N - baseline_N) ** 2).sum()
                    / (weight_N * rewards_N**2).sum()
                ),
                off=float(((baseline_N - truth_N) ** 2).mean()),
                explained=float(1.0 - ((rewards_N - baseline_N) ** 2).mean() / (total_N**2).mean()),
            )
        )
        step_SA = torch.zeros_like(table_SA)
        step_SA.index_add_(0, batch.segments_N, pull_N[:, None] * slope_NA)
        table_SA = table_SA + rate * step_SA / len(batch.episodes)
        moved = float((table_SA.log_softmax(-1) - logp_SA).abs()[batch.segments_N].mean())
        estimator.moved({}, otherwise=moved)
    return rounds
