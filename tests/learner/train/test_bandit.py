"""Bandits whose best answer is known: tracker, advantage and loss together must find it.

The policy is a table of logits, one row for each place in an answer, so that a whole life of it takes
a second; everything that turns rewards into steps is the learner's own. The objective is the mean
reward: what an answer earns on average decides, and neither its luck nor its length nor how hard its
segment is.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from rlwd.learner.sealed import SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.advantage import standardised
from rlwd.learner.train.baseline import Tracker
from rlwd.learner.train.loss import swept_loss
from rlwd.learner.train.packing import pack

CPU = torch.device("cpu")
SETTINGS = LearnerSettings(learning_rate=0.05, warmup_steps=0, eps=1e-5)
"""The production objective; only the step is as large as a table needs."""
ARMS = 2
END = ARMS
VOCABULARY = ARMS + 1
BATCH, BATCHES = 256, 30

Draw = random.Random
Pay = Callable[[Draw], float]


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


class TablePolicy:
    """Answers of a few segments, and a learner of them."""

    def __init__(self, segments: dict[str, tuple[Arm, Arm]], settings: LearnerSettings, seed: int):
        self.segments, self.settings, self.draw = segments, settings, random.Random(seed)
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
        self.tracker = Tracker(settings, {})
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

    def episodes(self) -> list[SealedEpisode]:
        """Draw a batch of answers from the policy as it is and let them be paid."""
        made = []
        for index in range(BATCH):
            segment = self.draw.choice(self.names)
            arm = int(self.draw.random() > self.share(segment))
            chosen = self.segments[segment][arm]
            tokens = (arm, *(END,) * (chosen.tokens - 1))
            rows = self.states(segment, arm, chosen.tokens)
            logp = self.table.detach()[rows].log_softmax(-1)
            made.append(
                SealedEpisode(
                    generation_id=f"g{index}",
                    segment=segment,
                    version="",
                    age=0,
                    prompt_token_ids=(0,),
                    completion_token_ids=tokens,
                    logprobs=tuple(float(logp[i, t]) for i, t in enumerate(tokens)),
                    temperature=1.0,
                    reward=chosen.pay(self.draw),
                    reward_revision=0,
                )
            )
        return made

    def learn(self) -> None:
        """Apply one batch as `update` does: baselines, advantages, passes of minibatches."""
        episodes, settings = self.episodes(), self.settings
        values = self.tracker.baselines(episodes)
        if all(value is None for value in values):
            return
        scaled = standardised(
            [e.reward for e in episodes],
            values,
            [len(e.completion_token_ids) for e in episodes],
            floor=settings.advantage_floor,
        )
        self.tracker.observe(episodes)
        judged = [(e, a) for e, a in zip(episodes, scaled, strict=True) if a is not None]
        before = self.table.detach().clone()
        for _ in range(settings.passes):
            self.draw.shuffle(judged)
            for start in range(0, len(judged), settings.minibatch_episodes):
                self.step(judged[start : start + settings.minibatch_episodes])
        moved = float((self.table.detach().log_softmax(-1) - before.log_softmax(-1)).abs().mean())
        self.tracker.moved({}, otherwise=moved)

    def step(self, judged: list[tuple[SealedEpisode, float]]) -> None:
        episodes = [episode for episode, _ in judged]
        packed = pack(episodes, tokens=64, device=CPU)
        rows = [
            row
            for e in episodes
            for row in self.states(e.segment, e.completion_token_ids[0], len(e.logprobs))
        ]
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


def shares(segments: dict[str, tuple[Arm, Arm]], lives: int = 2) -> Tensor:
    """Return the shares of the first arm [lives, segments] after so many lives of a policy."""
    ends = []
    for seed in range(lives):
        policy = TablePolicy(segments, SETTINGS, seed)
        for _ in range(BATCHES):
            policy.learn()
        ends.append([policy.share(name) for name in segments])
    return torch.tensor(ends)


def test_the_sure_thing_wins_over_the_coin() -> None:
    """A sure .6 is worth more than a coin worth .5, though the coin's wins are larger."""
    assert shares({"a": (Arm(pay=sure(0.6)), Arm(pay=coin(0.5)))}).min() > 0.95


@pytest.mark.parametrize(("accepted", "shown"), [(0.15, False), (0.4, True)])
def test_show_or_keep_silent(accepted: float, shown: bool) -> None:
    """Silence earns .25: a suggestion is shown where it is accepted more often than that."""
    share = shares({"a": (Arm(pay=coin(accepted)), Arm(pay=sure(0.25)))})
    assert share.min() > 0.95 if shown else share.max() < 0.05


@pytest.mark.parametrize("tokens", [1, 8])
def test_equal_answers_stay(tokens: int) -> None:
    """Neither of two answers that earn alike takes over, the longer one included."""
    share = shares({"a": (Arm(pay=coin(0.5), tokens=tokens), Arm(pay=coin(0.5)))}, lives=4)
    assert 0.15 < share.mean() < 0.85


def test_a_segment_is_measured_against_itself() -> None:
    """In an easy segment and in a hard one the better answer wins, though all of the easy one's pay more."""
    easy, hard = (coin(0.9), coin(0.75)), (coin(0.25), coin(0.1))
    given = {
        name: (Arm(pay=better), Arm(pay=worse))
        for name, (better, worse) in (("easy", easy), ("hard", hard))
    }
    assert shares(given).min() > 0.85


@pytest.mark.parametrize(("long", "short"), [(0.6, 0.5), (0.5, 0.6)])
def test_length_is_no_merit(long: float, short: float) -> None:
    """Of a long answer and a short one the one that earns more wins, whichever it is."""
    share = shares({"a": (Arm(pay=coin(long), tokens=8), Arm(pay=coin(short)))})
    assert share.min() > 0.9 if long > short else share.max() < 0.1
