"""Imitation: the lane's loss, written a second time; and that it starts a policy cold."""

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
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
from rlwd.learner.lanes.imitation import ImitationPart
from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.lanes.model_words import ModelWords
from rlwd.learner.lanes.tensors import OwnTensors
from rlwd.learner.sealed import SaidMessage, SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.tiny.model import prompt_ids
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import apply_batch

MakeEpisode = Callable[..., SealedEpisode]
SFT = LaneSettings(sft=0.7)


def imported(make_episode: MakeEpisode, count: int = 6) -> list[SealedEpisode]:
    """Accepted answers of another model, to each prompt the same."""
    draw = random.Random(4)
    return [
        make_episode(
            generation_id=f"i{index}",
            version="",
            age=-1,
            prompt_token_ids=tuple(draw.randrange(250) for _ in range(3 + index % 3)),
            completion_token_ids=(40, 41, 42, 43, 256)[index % 2 :],
            logprobs=(),
            weight=1.0 + index % 2,
            lane="sft",
        )
        for index in range(count)
    ]


def test_the_gradient_is_of_the_likelihood_and_the_kl(
    settings: LearnerSettings, make_episode: MakeEpisode
) -> None:
    """In plain PyTorch and float64 it is the same, over the lane's own tokens."""
    learner = apart_from_anchor(msgspec.structs.replace(settings, lanes=SFT))
    episodes = imported(make_episode)
    ours = gradients_of_part(learner, ImitationPart(OwnTensors(learner), episodes, batch_id=1))
    loss, tokens = torch.zeros((), dtype=torch.float64), 0.0
    for episode in episodes:
        policy = rows(learner, episode)
        with learner.policy.as_anchor():
            anchor = rows(learner, episode)
        kl = (policy.exp() * (policy - anchor)).sum()
        loss = loss + episode.weight * (settings.kl_weight * kl - chosen(policy, episode).sum())
        tokens += episode.weight * len(episode.completion_token_ids)
    assert_equal(ours, gradients_of(learner, loss / tokens * SFT.sft))


def test_a_policy_is_started_cold(
    settings: LearnerSettings, make_episode: MakeEpisode, make_batch: Callable[..., SealedBatch]
) -> None:
    """One batch of imported answers makes them ten times as likely, token by token."""
    learner = Learner(msgspec.structs.replace(settings, lanes=SFT, passes=6))
    episodes = imported(make_episode, 16)
    plain = ImitationPart(OwnTensors(learner), episodes, batch_id=1).taught

    def likely() -> float:
        return sum(float(one.mean()) for one in score(learner, plain).logp) / len(plain)

    before = likely()
    batch = msgspec.structs.replace(make_batch(), episodes=tuple(episodes), held_out=())
    update = apply_batch(learner, batch, lanes=lane_parts)
    assert likely() > before + 2.3
    assert before < update.metrics["lane/sft/likelihood"] < likely()


def test_a_policy_is_started_from_texts_alone(
    settings: LearnerSettings, make_episode: MakeEpisode, make_batch: Callable[..., SealedBatch]
) -> None:
    """Traces without tokens are read and answered as the chat template has them, and imitated."""
    model = Path(settings.model)
    traces = [
        make_episode(
            generation_id=f"t{number}",
            version="",
            age=-1,
            lane="sft",
            text="good day",
            **dict.fromkeys(("prompt_token_ids", "completion_token_ids", "logprobs"), ()),
            messages=(SaidMessage(role="user", text=f"hi {number}"),),
        )
        for number in range(8)
    ]
    words = ModelWords(model)
    spelt = [one for each in traces if (one := words.spelt(each)) is not None]
    asked = prompt_ids(model, [{"role": "user", "content": "hi 0"}])
    assert spelt[0].prompt_token_ids == tuple(asked)
    assert spelt[0].completion_token_ids == (*words.spell("good day"), 256)
    learner = Learner(msgspec.structs.replace(settings, lanes=SFT, passes=6))
    plain = ImitationPart(OwnTensors(learner), spelt, batch_id=1).taught

    def likely() -> float:
        return sum(float(one.mean()) for one in score(learner, plain).logp) / len(plain)

    before = likely()
    batch = msgspec.structs.replace(make_batch(), episodes=tuple(traces), held_out=())
    assert apply_batch(learner, batch, lanes=lane_parts).left_out == {}
    assert likely() > before + 1.0


def test_a_conversation_that_the_template_refuses_is_left_out(
    make_episode: MakeEpisode, tmp_path: Path, settings: LearnerSettings
) -> None:
    """A model whose template takes no such role costs the batch one episode, and not the learner."""
    refusing = tmp_path / "model"
    refusing.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (refusing / name).write_bytes((Path(settings.model) / name).read_bytes())
    (refusing / "chat_template.jinja").write_text(
        "{{ raise_exception('no tool here') if messages[0].role == 'tool' }}{{ messages[0].content }}"
    )
    words = ModelWords(refusing)
    known, unknown = (
        make_episode(messages=(SaidMessage(role=role, text="hi"),), text="yes")
        for role in ("user", "tool")
    )
    assert words.spelt(known) is not None
    assert words.spelt(unknown) is None
