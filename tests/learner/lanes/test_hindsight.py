"""Hindsight: what a follow-up asks for rises in the answer before it."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
import torch
from lanes_by_hand import (
    apart_from_anchor,
    assert_equal,
    chosen,
    gradients_of,
    gradients_of_part,
    rows,
)

from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.lanes.hindsight import BLOCK, HindsightPart, with_teachers
from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.lanes.model_words import ModelWords
from rlwd.learner.lanes.tensors import OwnTensors
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.tiny.model import make_tiny_policy, prompt_ids
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import apply_batch

MakeEpisode = Callable[..., SealedEpisode]
LANES = LaneSettings(hindsight=0.8)
STYLES = ("dear", "yo", "re:", "--")
WISH = "Say dear."


def asked(model: str, text: str) -> tuple[int, ...]:
    return tuple(prompt_ids(Path(model), [{"role": "user", "content": text}]))


def followed(
    make_episode: MakeEpisode, model: str, answers: Sequence[str], follow_up: str
) -> list[SealedEpisode]:
    """Answers to `mail`, each of which somebody wrote something about."""
    words = ModelWords(Path(model))
    return [
        make_episode(
            generation_id=f"h{index}",
            prompt_token_ids=asked(model, "mail"),
            completion_token_ids=(*words.spell(answer), 256),
            logprobs=(),
            temperature=0.0,
            weight=1.0 + index % 2,
            lane="hindsight",
            follow_up=follow_up,
        )
        for index, answer in enumerate(answers)
    ]


def test_the_block_stands_at_the_end_of_the_users_turn(settings: LearnerSettings) -> None:
    """The teacher's prompt is the chat's own with the follow-up appended; after a tool there is none."""
    words = ModelWords(Path(settings.model))
    block = BLOCK.format(WISH)
    told = words.said_to_user(asked(settings.model, "mail"), block)
    assert told == asked(settings.model, "mail" + block)
    assert words.said_to_user((1, 2, 3), block) is None


def test_the_gradient_is_the_papers(settings: LearnerSettings, make_episode: MakeEpisode) -> None:
    """-A_t log pi_t with A of teacher and student before the batch, in plain PyTorch and float64."""
    region = {"negative_weight": 1.0, "lanes": LANES}
    learner = apart_from_anchor(msgspec.structs.replace(settings, **region))
    words = ModelWords(Path(settings.model))
    episodes = followed(make_episode, settings.model, STYLES, WISH)
    told = with_teachers(episodes, words, longest=500).units
    ours = gradients_of_part(learner, HindsightPart(OwnTensors(learner), told, batch_id=1))
    loss, tokens = torch.zeros((), dtype=torch.float64), 0.0
    for episode, teacher in told:
        policy = rows(learner, episode)
        own = chosen(policy, episode)
        with learner.policy.as_anchor():
            anchor = rows(learner, episode)
        with torch.no_grad():
            wiser = chosen(rows(learner, teacher), teacher)
        kl = (policy.exp() * (policy - anchor)).sum()
        advantage = (wiser - own.detach()).clamp(-2.0, 2.0)
        loss = loss + episode.weight * (settings.kl_weight * kl - (advantage * own).sum())
        tokens += episode.weight * len(own)
    assert_equal(ours, gradients_of(learner, loss / tokens * LANES.hindsight))


@pytest.fixture(scope="module")
def obedient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that answers in any style, and in the one asked for where a message names it."""
    folder = tmp_path_factory.mktemp("obedient") / "tiny"
    told = "mail" + BLOCK.format(WISH)
    examples = [("mail", style) for style in STYLES] + [(told, "dear")] * 4
    make_tiny_policy(folder, seed=0, steps=100, examples=examples, examples_per_step=8)
    return folder


def test_what_the_follow_up_asks_for_rises(
    obedient: Path,
    settings: LearnerSettings,
    make_episode: MakeEpisode,
    make_batch: Callable[..., SealedBatch],
) -> None:
    """A person who wrote "Say dear." makes `dear` likelier and `yo` less, without any verdict."""
    learner = Learner(
        msgspec.structs.replace(settings, model=str(obedient), lanes=LANES, negative_weight=1.0)
    )
    draw = random.Random(1)
    answers = [draw.choice(STYLES) for _ in range(24)]
    episodes = followed(make_episode, str(obedient), answers, WISH)
    plain = followed(make_episode, str(obedient), STYLES, "")
    plain = [
        msgspec.structs.replace(
            one, logprobs=(0.0,) * len(one.completion_token_ids), temperature=1.0
        )
        for one in plain
    ]

    def likely() -> list[float]:
        return [float(one.sum().exp()) for one in score(learner, plain).logp]

    before = likely()
    batch = msgspec.structs.replace(make_batch(), episodes=tuple(episodes), held_out=())
    update = apply_batch(learner, batch, lanes=lane_parts)
    after = likely()
    assert after[0] > before[0] + 0.05, (before, after)
    assert sum(after[1:]) < sum(before[1:]), (before, after)
    assert update.metrics["lane/hindsight/advantage"] > 0.1
