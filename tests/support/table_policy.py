"""TablePolicy: a policy that is a table of logits, learnt by the learner's own objective in a second.

One row for each place in an answer; everything that turns rewards into steps is the learner's own.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from rlwd.learner.estimators.advantage import standardised
from rlwd.learner.estimators.side_by_side import Estimators
from rlwd.learner.estimators.spread import told_apart
from rlwd.learner.sealed import SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.loss import swept_loss
from rlwd.learner.train.packing import Pack

SETTINGS = LearnerSettings(learning_rate=0.05, warmup_steps=0, eps=1e-5)
"""The production objective; only the step is as large as a table needs."""
ARMS = 2
END = ARMS
VOCABULARY = ARMS + 1
BATCH, BATCHES = 256, 30

Draw = random.Random
Pay = Callable[[Draw], float | None]
"""What an answer earns; None is an answer that is dropped, as if it had never been given."""


def sure(reward: float) -> Pay:
    """Earn the same each time."""
    return lambda draw: reward


def coin(chance: float) -> Pay:
    """Earn 1 so often, else 0."""
    return lambda draw: float(draw.random() < chance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One answer: how it pays, and how long it is."""

    pay: Pay
    """What it earns."""
    tokens: int = 1
    """Its length: the arm's token, then ends."""


def without_sequences(episodes: Sequence[SealedEpisode]) -> Pack:
    """Return a pack for the loss alone: a row of a table says each token, and no sequence is laid out."""
    lengths = torch.tensor([len(one.logprobs) for one in episodes])
    segments_M = torch.arange(len(episodes)).repeat_interleave(lengths)
    nowhere = torch.zeros_like(segments_M)
    return Pack(
        ids_BT=nowhere[None],
        positions_BT=nowhere[None],
        rows_M=nowhere,
        columns_M=nowhere,
        targets_M=torch.tensor([token for one in episodes for token in one.completion_token_ids]),
        segments_M=segments_M,
        behaviour_M=torch.tensor([logp for one in episodes for logp in one.logprobs]),
        temperature_M=torch.tensor([one.temperature for one in episodes])[segments_M],
    )


class TablePolicy:
    """Answers of a few segments, and a learner of them."""

    def __init__(
        self,
        segments: dict[str, tuple[Arm, Arm]],
        settings: LearnerSettings,
        seed: int,
        *,
        told_apart: bool = True,
    ):
        """With `told_apart` each has a baseline of its own; else only the policy tells them apart."""
        self.segments, self.settings, self.draw = segments, settings, random.Random(seed)
        self.told_apart = told_apart
        torch.manual_seed(seed)
        self.names = list(segments)
        self.length = max(arm.tokens for arms in segments.values() for arm in arms)
        rows = len(segments) * (1 + ARMS * self.length)
        start = torch.zeros(rows, VOCABULARY)
        start[:, END] = -4.0
        later = [r for r in range(rows) if r % (1 + ARMS * self.length)]
        start[later, END] = 4.0
        self.table = start.clone().requires_grad_()
        self.anchor = start
        self.head = torch.eye(VOCABULARY)
        self.estimators = Estimators.new(settings)
        self.optimizer = torch.optim.AdamW(
            [self.table],
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            weight_decay=0.0,
        )

    def states(self, segment: str, arm: int, tokens: int) -> list[int]:
        """Rows of the table that an answer goes through."""
        first = self.names.index(segment) * (1 + ARMS * self.length)
        return [first, *(first + 1 + arm * self.length + i for i in range(tokens - 1))]

    def share(self, segment: str) -> float:
        """Probability of the first arm against the second."""
        logits = self.table.detach()[self.states(segment, 0, 1)[0], :ARMS]
        return float(logits.softmax(0)[0])

    def logprobs(self, segment: str, tokens: tuple[int, ...]) -> tuple[float, ...]:
        """Return what the policy as it is says of an answer's tokens."""
        logp = self.table.detach()[self.states(segment, tokens[0], len(tokens))].log_softmax(-1)
        return tuple(float(logp[i, t]) for i, t in enumerate(tokens))

    def episodes(self) -> list[SealedEpisode]:
        """Draw a batch of answers from the policy as it is and let them be paid."""
        made = list[SealedEpisode]()
        shares = {name: self.share(name) for name in self.names}
        logprobs = cache(self.logprobs)
        for index in range(BATCH):
            segment = self.draw.choice(self.names)
            arm = int(self.draw.random() > shares[segment])
            chosen = self.segments[segment][arm]
            tokens = (arm, *(END,) * (chosen.tokens - 1))
            reward = chosen.pay(self.draw)
            if reward is None:
                continue
            made.append(
                SealedEpisode(
                    generation_id=f"g{index}",
                    segment=segment if self.told_apart else "all",
                    version="",
                    age=0,
                    prompt_token_ids=(self.names.index(segment),),
                    completion_token_ids=tokens,
                    logprobs=logprobs(segment, tokens),
                    temperature=1.0,
                    reward=reward,
                    reward_revision=0,
                )
            )
        return made

    def learn(self) -> None:
        """Apply one batch as `update` does: baselines, advantages, passes of minibatches."""
        episodes, settings = self.episodes(), self.settings
        expected = self.estimators.baselines(episodes)
        values = told_apart(episodes, expected[self.settings.estimator])
        if all(value is None for value in values):
            return
        scaled = standardised(
            [e.reward for e in episodes],
            values,
            [len(e.completion_token_ids) for e in episodes],
            floor=settings.advantage_floor,
        )
        self.estimators.observe(episodes)
        judged = [(e, a) for e, a in zip(episodes, scaled, strict=True) if a is not None]
        before = self.table.detach().clone()
        for _ in range(settings.passes):
            self.draw.shuffle(judged)
            for start in range(0, len(judged), settings.minibatch_episodes):
                self.step(judged[start : start + settings.minibatch_episodes])
        moved = float((self.table.detach().log_softmax(-1) - before.log_softmax(-1)).abs().mean())
        self.estimators.moved({}, otherwise=moved)

    def step(self, judged: list[tuple[SealedEpisode, float]]) -> None:
        episodes = [episode for episode, _ in judged]
        rows = [
            row
            for e in episodes
            for row in self.states(
                self.names[e.prompt_token_ids[0]], e.completion_token_ids[0], len(e.logprobs)
            )
        ]
        packed = without_sequences(episodes)
        advantages = torch.tensor([advantage for _, advantage in judged])[packed.segments_M]
        loss = swept_loss(
            self.table[rows],
            self.anchor[rows],
            self.head,
            packed,
            advantages,
            normaliser=float(len(rows)),
            settings=self.settings,
        )
        self.optimizer.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([self.table], self.settings.clip_norm)
        self.optimizer.step()


def shares(
    segments: dict[str, tuple[Arm, Arm]],
    lives: int = 2,
    *,
    told_apart: bool = True,
    batches: int = BATCHES,
) -> Tensor:
    """Return the shares of the first arm [lives, segments] after so many lives of a policy."""
    ends = []
    for seed in range(lives):
        policy = TablePolicy(segments, SETTINGS, seed, told_apart=told_apart)
        for _ in range(batches):
            policy.learn()
        ends.append([policy.share(name) for name in segments])
    return torch.tensor(ends)
