"""Texts on which the policy is held to the base model while it learns."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.process.protocol import BatchFailed
from rlwd.learner.process.worker import Worker
from rlwd.learner.replay_settings import ReplaySettings
from rlwd.learner.sealed import SaidMessage, SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerProcessSettings
from rlwd.learner.staying.replay import ReplayPart, replayed_texts, with_replay
from rlwd.learner.train.state import Learner

MakeBatch = Callable[..., SealedBatch]


@pytest.fixture
def replaying(child_settings: LearnerProcessSettings, tmp_path: Path) -> LearnerProcessSettings:
    """Settings of a learner that replays two texts, as many tokens as a batch has."""
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("one two", "three")))
    replay = ReplaySettings(texts=str(texts), share=1.0, weight=3.0)
    learner = msgspec.structs.replace(child_settings.learner, replay=replay)
    return msgspec.structs.replace(child_settings, learner=learner)


def test_it_holds_the_policy_on_its_texts(
    replaying: LearnerProcessSettings,
    child_settings: LearnerProcessSettings,
    tmp_path: Path,
    make_batch: MakeBatch,
    sealed: Callable[[SealedBatch], Path],
) -> None:
    """After three batches the policy has moved less there than without, and says how far."""
    free = msgspec.structs.replace(child_settings, folder=str(tmp_path / "free"))
    texts = replaying.learner.replay.texts
    held = dict[str, float]()
    for name, settings in (("replayed", replaying), ("free", free)):
        drift = msgspec.structs.replace(settings.learner.drift, probes=texts)
        learner = msgspec.structs.replace(settings.learner, drift=drift)
        worker = Worker(msgspec.structs.replace(settings, learner=learner))
        for number in (1, 2, 3):
            worker.apply(sealed(make_batch(number)))
        told = read_manifests(worker.folder)[-1].metrics
        held[name] = told["drift/kl"]
        assert ("replay/kl" in told) is (name == "replayed")
        assert told.get("replay/tokens", 1.0) > 0.0
    assert held["replayed"] < 0.7 * held["free"]


def test_the_gradient_is_of_its_own_count(replaying: LearnerProcessSettings) -> None:
    """A step adds weight times the mean KL's gradient, however many tokens the batch has."""
    learner = Learner(replaying.learner)
    with torch.no_grad():
        for parameter in learner.policy.trainable().values():
            parameter += 0.02
    sequences = replayed_texts(learner)
    found = []
    for tokens in (1, 2):  # The first text alone, whatever its share is called.
        learner.optimizer.zero_grad()
        part = ReplayPart(learner, sequences[:1], tokens=tokens, batch_id=1)
        part.begin_pass()
        part.backward(0, 1)
        found.append(
            [p.grad.clone() for p in learner.policy.trainable().values() if p.grad is not None]
        )
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    one = sequences[0]
    ids = torch.tensor([one.prompt_token_ids + one.completion_token_ids])
    learner.optimizer.zero_grad()
    ours = learner.policy.model(ids).logits[0, :-1].log_softmax(-1)
    with learner.policy.as_anchor():
        base = learner.policy.model(ids).logits[0, :-1].log_softmax(-1)
    (3.0 * (ours.exp() * (ours - base)).sum(-1).mean()).backward()
    wanted = [p.grad for p in learner.policy.trainable().values() if p.grad is not None]
    assert len(wanted) == len(found[0])
    for got, expected in zip(found[0], wanted, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-6)
    assert part.metrics()["replay/kl"] > 0.0


def test_it_makes_no_step_alone(
    replaying: LearnerProcessSettings,
    make_batch: MakeBatch,
    sealed: Callable[[SealedBatch], Path],
) -> None:
    """A batch that says nothing is skipped, though there are texts to replay."""
    batch = make_batch()
    equal = tuple(msgspec.structs.replace(one, reward=1.0) for one in batch.episodes)
    worker = Worker(replaying)
    report = worker.apply(sealed(msgspec.structs.replace(batch, episodes=equal)))
    assert isinstance(report, BatchFailed)
    assert not report.fault
    assert with_replay(lane_parts, [])(worker.learner, batch.episodes, 1).parts == []


def test_texts_without_tokens_are_replayed_beside(
    replaying: LearnerProcessSettings, make_episode: Callable[..., SealedEpisode]
) -> None:
    """A batch of imported texts has its share of replay, by the tokens that its lanes spell."""
    settings = msgspec.structs.replace(replaying.learner, lanes=LaneSettings(sft=1.0))
    learner = Learner(settings)
    sequences = replayed_texts(learner)
    traces = [
        make_episode(
            generation_id=f"t{number}",
            lane="sft",
            text="good day",
            **dict.fromkeys(("prompt_token_ids", "completion_token_ids", "logprobs"), ()),
            messages=(SaidMessage(role="user", text="hi"),),
        )
        for number in range(4)
    ]
    sft, replay = with_replay(lane_parts, sequences)(learner, traces, 1).parts
    for part in (sft, replay):
        part.begin_pass()
        part.backward(0, 1)
    assert replay.metrics()["replay/tokens"] >= sft.metrics()["lane/sft/tokens"] > 0.0


def test_a_text_that_cannot_be_used(replaying: LearnerProcessSettings) -> None:
    """The learner does not start, and names setting, file and line."""
    Path(replaying.learner.replay.texts).write_text('{"token_ids": [1, 999]}\n')
    with pytest.raises(ValueError, match=r"learner\.replay\.texts: .*texts\.jsonl:1: token id 999"):
        Worker(replaying)
