"""Learning: people who want one answer to each kind of question get it, from one answer a question."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from tiny_learner import TINY
from transformers import AutoTokenizer

from rlwd.learner.process.worker import Worker
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerProcessSettings
from rlwd.learner.tiny.model import make_tiny_policy, prompt_ids

KINDS = ("mail", "code", "note", "list")
STYLES = ("dear", "yo", "re:", "--")
ANSWERS = 192
END = 256


@pytest.fixture(scope="module")
def four_styles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that answers every kind in each of four styles, equally often."""
    folder = tmp_path_factory.mktemp("four") / "styles"
    examples = [(kind, style) for kind in KINDS for style in STYLES]
    make_tiny_policy(folder, seed=0, steps=120, examples=examples)
    return folder


class Crowd:
    """People who accept exactly the style that they want of each kind."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.prompts = {
            kind: prompt_ids(folder, [{"role": "user", "content": kind}]) for kind in KINDS
        }
        self.draw = random.Random(seed)
        torch.manual_seed(seed)

    @torch.no_grad()
    def ask(self, worker: Worker, count: int) -> list[SealedEpisode]:
        kinds = [self.draw.randrange(4) for _ in range(count)]
        asked = torch.tensor([self.prompts[KINDS[kind]] for kind in kinds])
        out = worker.learner.policy.causal.generate(
            asked,
            attention_mask=torch.ones_like(asked),
            do_sample=True,
            top_k=0,
            max_new_tokens=8,
            return_dict_in_generate=True,
            output_logits=True,
        )
        logps = torch.stack(out.logits, 1).log_softmax(-1)
        answers = out.sequences[:, asked.shape[1] :]
        chosen = logps.gather(2, answers[..., None])[..., 0].clamp(max=0.0)
        return [
            self._episode(worker, kind, answer.tolist(), logp.tolist())
            for kind, answer, logp in zip(kinds, answers, chosen, strict=True)
        ]

    def _episode(
        self, worker: Worker, kind: int, tokens: list[int], logps: list[float]
    ) -> SealedEpisode:
        length = tokens.index(END) + 1 if END in tokens else len(tokens)
        text = self.tokenizer.decode(tokens[:length], skip_special_tokens=True)
        return SealedEpisode(
            generation_id=f"g{self.draw.random()}",
            segment=KINDS[kind],
            version=worker.head.version,
            age=0,
            prompt_token_ids=tuple(self.prompts[KINDS[kind]]),
            completion_token_ids=tuple(tokens[:length]),
            logprobs=tuple(logps[:length]),
            temperature=1.0,
            reward=float(text == STYLES[kind]),
            reward_revision=0,
        )


def mean_reward(episodes: list[SealedEpisode]) -> float:
    return sum(episode.reward for episode in episodes) / len(episodes)


def test_reward_rises(
    four_styles: Path, tmp_path: Path, sealed: Callable[[SealedBatch], Path]
) -> None:
    """From a quarter of the answers to most of them in five versions, and the held-out estimates foresee it."""
    learner = msgspec.structs.replace(TINY, model=str(four_styles), threads=1)
    worker = Worker(
        LearnerProcessSettings(
            learner=learner, policy="policy", folder=str(tmp_path / "c"), lease_epoch=0
        )
    )
    crowd, seen = Crowd(four_styles, seed=3), []
    for batch_id in range(1, 6):
        episodes = crowd.ask(worker, ANSWERS + 32)
        seen.append(mean_reward(episodes))
        batch = SealedBatch(
            batch_id=batch_id,
            policy="policy",
            parent_sequence=worker.head.sequence,
            spec_version="accepted@000000000000",
            episodes=tuple(episodes[:ANSWERS]),
            held_out=tuple(episodes[ANSWERS:]),
            offsets={},
        )
        worker.apply(sealed(batch))
        metrics, held_out = worker.head.metrics, worker.head.held_out
        # What was logged while serving is what the learner finds for the same weights.
        assert metrics["before/ratio/k3"] < 1e-6
        assert held_out is not None
        if batch_id == 2:
            assert held_out.estimate > held_out.behaviour
    seen.append(mean_reward(crowd.ask(worker, 256)))
    assert seen[0] < 0.35, seen
    assert seen[-1] > 0.7, seen
