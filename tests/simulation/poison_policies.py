"""Policies that a poisoned crowd teaches: the demo's tiny one, and a table of styles for short tests."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import torch
from sampled_policy import SampledPolicy
from table_policy import without_sequences

from rlwd.daemon.demo.demo_profile import demo_learner
from rlwd.daemon.worlds.styles import KINDS, STYLES, Task, pretraining_pairs, style_of
from rlwd.learner.estimators.advantage import standardised
from rlwd.learner.estimators.side_by_side import Estimators
from rlwd.learner.estimators.spread import told_apart
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.tiny.model import make_tiny_policy, prompt_ids
from rlwd.learner.train.loss import swept_loss
from rlwd.learner.train.selection import select_episodes
from rlwd.learner.train.weight import token_weight

PRETRAINING_STEPS = 350
LONGEST = 32
STYLE_NAMES = tuple(STYLES)


class Answer(NamedTuple):
    """What a policy gave somebody."""

    style: str | None
    """Its style, where it is one."""
    prompt: tuple[int, ...]
    """Tokens read."""
    completion: tuple[int, ...]
    """Tokens written."""
    logprobs: tuple[float, ...]
    """Of each of these."""


class Taught(Protocol):
    """A policy, as the crowd and the sealed batches meet it."""

    def answer(self, tasks: Sequence[Task]) -> list[Answer]:
        """Answer everybody, each by a draw of its own."""
        ...

    def learn(self, batch: SealedBatch) -> None:
        """Apply one sealed batch."""
        ...


class TinyPolicy(SampledPolicy):
    """The demo's policy and learner: pre-trained on the spot, with the demo's settings."""

    def __init__(
        self, folder: Path, seed: int, *, pretrained: int | None = None, **changes: object
    ) -> None:
        """`pretrained` is the seed of the base model, where it is not the policy's."""
        base = seed if pretrained is None else pretrained
        self.folder = folder / f"policy-{base}"
        if not (self.folder / "config.json").exists():
            make_tiny_policy(
                self.folder, seed=base, steps=PRETRAINING_STEPS, examples=pretraining_pairs()
            )
        settings = msgspec.structs.replace(
            demo_learner(), model=str(self.folder), seed=seed, **changes
        )
        super().__init__(settings, longest=LONGEST)
        self.prompts: dict[Task, tuple[int, ...]] = {}

    def answer(self, tasks: Sequence[Task], *, greedy: bool = False) -> list[Answer]:
        """Answer at temperature 1, or at 0; prompts of one length go through the model together."""
        drawn = self.draw_answers([self._prompt(task) for task in tasks], greedy=greedy)
        return [
            Answer(style_of(task, self.spelt(one.completion)), *one)
            for task, one in zip(tasks, drawn, strict=True)
        ]

    def _prompt(self, task: Task) -> tuple[int, ...]:
        if task not in self.prompts:
            asked = [{"role": "user", "content": task.prompt}]
            self.prompts[task] = tuple(prompt_ids(self.folder, asked))
        return self.prompts[task]


class TablePolicy:
    """A table of logits, a style for each kind of work; the rest is the learner's own."""

    SETTINGS = LearnerSettings(learning_rate=0.05, warmup_steps=0, eps=1e-5)

    def __init__(self, seed: int) -> None:
        self.draw, self.settings = random.Random(seed), self.SETTINGS
        self.anchor = torch.zeros(len(KINDS), len(STYLE_NAMES))
        self.table = self.anchor.clone().requires_grad_()
        self.before = self.anchor
        self.head = torch.eye(len(STYLE_NAMES))
        self.estimators = Estimators.new(self.settings)
        self.optimizer = torch.optim.AdamW([self.table], lr=0.05, eps=1e-5, weight_decay=0.0)

    def answer(self, tasks: Sequence[Task]) -> list[Answer]:
        """Answer with one token, the number of a style."""
        logp = self.table.detach().log_softmax(-1)
        found = []
        for task in tasks:
            row = logp[KINDS.index(task.kind)]
            (style,) = self.draw.choices(range(len(STYLE_NAMES)), row.exp().tolist())
            prompt = (KINDS.index(task.kind), *task.topic.encode())
            found.append(Answer(STYLE_NAMES[style], prompt, (style,), (float(row[style]),)))
        return found

    def learn(self, batch: SealedBatch) -> None:
        """Apply one batch as `update` does: baselines, advantages, passes of minibatches."""
        chosen = select_episodes(batch, self.settings, len(STYLE_NAMES) + 300)
        expected = self.estimators.baselines(chosen.episodes)
        values = told_apart(chosen.episodes, expected[self.settings.estimator])
        if all(value is None for value in values):
            return
        scaled = standardised(
            [e.earned for e in chosen.episodes],
            values,
            [e.weight for e in chosen.episodes],
            floor=self.settings.advantage_floor,
        )
        self.estimators.observe(chosen.episodes)
        judged = [(e, a) for e, a in zip(chosen.episodes, scaled, strict=True) if a is not None]
        usual = token_weight([e for e, _ in judged])
        self.before = self.table.detach().log_softmax(-1)
        for _ in range(self.settings.passes):
            self.draw.shuffle(judged)
            for start in range(0, len(judged), self.settings.minibatch_episodes):
                self._step(judged[start : start + self.settings.minibatch_episodes], usual)

    def _step(self, judged: list[tuple[SealedEpisode, float]], usual: float) -> None:
        episodes = [episode for episode, _ in judged]
        packed = without_sequences(episodes)
        rows = [e.prompt_token_ids[0] for e in episodes]
        loss = swept_loss(
            self.table[rows],
            self.anchor[rows],
            self.head,
            packed,
            torch.tensor([advantage for _, advantage in judged])[packed.segments_M],
            weights_M=torch.tensor([e.weight for e in episodes])[packed.segments_M],
            proximal_M=self.before[rows, packed.targets_M],
            normaliser=usual * len(rows),
            settings=self.settings,
        )
        self.optimizer.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([self.table], self.settings.clip_norm)
        self.optimizer.step()
