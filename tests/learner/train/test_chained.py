"""Chained: turns that continue one another learn as one sequence what they would learn one by one."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tiny_learner import TINY

from rlwd.learner.lanes.kto import KtoPart
from rlwd.learner.lanes.tensors import OwnTensors
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.packing import Share, pack
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.learner.train.steps import add_gradients
from rlwd.learner.train.update import apply_batch

MakeEpisode = Callable[..., SealedEpisode]
REGIONS = ("decoupled", "gspo", "clipped")


class OneByOne(Learner):
    """A learner whose passes hold an episode each."""

    def packs(self, episodes: Any) -> Any:
        """As `Learner.packs`, and nothing is shared."""
        size, device = self.settings.pack_tokens, self.policy.device
        return [
            Share([i], pack([one], tokens=size, device=device)) for i, one in enumerate(episodes)
        ]


@pytest.fixture(scope="module")
def learners(tiny_policy: Path) -> tuple[Learner, Learner]:
    """The same weights in float64, none of them zero: with chains, and one by one."""
    settings = msgspec.structs.replace(TINY, model=str(tiny_policy), nice=0)
    made = Learner(settings), OneByOne(settings)
    for learner in made:
        learner.policy.model.double()
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for each in learner.policy.trainable().values():
                each.copy_(0.05 * torch.randn(each.shape, generator=draw, dtype=each.dtype))
    return made


def tree(draw: random.Random, count: int) -> list[SealedEpisode]:
    """Answers of which some continue earlier ones, in any order, each with numbers of its own."""
    made = list[SealedEpisode]()
    for index in range(count):
        before = draw.choice(made) if made and draw.random() < 0.7 else None
        start = () if before is None else before.prompt_token_ids + before.completion_token_ids
        asked, answer = (
            tuple(draw.randrange(256) for _ in range(draw.randint(1, 6))) for _ in range(2)
        )
        made.append(
            SealedEpisode(
                generation_id=f"g{index}",
                segment="mail",
                version="v",
                age=index % 3,
                prompt_token_ids=(*start, *asked),
                completion_token_ids=answer,
                logprobs=tuple(-6.0 * draw.random() for _ in answer),
                temperature=draw.choice((0.7, 1.0)),
                reward=draw.random(),
                reward_revision=0,
                weight=draw.uniform(0.2, 2.0),
            )
        )
    draw.shuffle(made)
    return made


def gradients(learner: Learner) -> dict[str, torch.Tensor]:
    found = {}
    for name, each in learner.policy.trainable().items():
        assert each.grad is not None
        found[name] = each.grad.clone()
        each.grad = None
    return found


@pytest.mark.parametrize("region", REGIONS)
@hypothesis_settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 14), tokens=st.sampled_from((8, 24, 512)))
def test_equal_gradients(
    region: str, learners: tuple[Learner, Learner], seed: int, count: int, tokens: int
) -> None:
    """Scores, reported sums and gradients are those of one by one to 1e-6, whatever chains and rows."""
    episodes = tree(random.Random(seed), count)
    advantages = [
        torch.linspace(-1.0, one.reward, len(one.completion_token_ids)).double() for one in episodes
    ]
    told = []
    for learner in learners:
        learner.settings = msgspec.structs.replace(
            learner.settings, trust_region=region, pack_tokens=tokens, rows_per_forward=2
        )
        old = score(learner, episodes, anchor=True)
        sums = add_gradients(learner, range(count), episodes, advantages, old, 1.0)
        told.append((old, sums, gradients(learner)))
    (ours, sums, grads), (theirs, alone, wanted) = told
    torch.testing.assert_close(ours.logp, theirs.logp, rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.anchor, theirs.anchor, rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.states_ND, theirs.states_ND, rtol=0, atol=1e-6)
    assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-6, abs=1e-6)
    torch.testing.assert_close(grads, wanted, rtol=1e-6, atol=1e-8)
    length = alone.pop("tokens/forward")
    assert sums.pop("tokens/forward") + sums.pop("tokens/shared") == length
    assert alone.pop("tokens/shared") == 0.0
    assert sums == pytest.approx(alone, rel=1e-6, abs=1e-6)


def test_lanes_share_too(learners: tuple[Learner, Learner]) -> None:
    """Decisions without ratios on a session's turns: the same gradient, in one sequence."""
    episodes = tree(random.Random(5), 12)
    found = []
    for learner in learners:
        part = KtoPart(OwnTensors(learner), episodes, batch_id=1)
        part.begin_pass()
        for step in range(3):
            part.backward(step, 3)
        found.append((gradients(learner), part.metrics()))
    (ours, told), (wanted, alone) = found
    torch.testing.assert_close(ours, wanted, rtol=1e-6, atol=1e-8)
    assert told["lane/kto/shared"] > 0.0
    assert told["lane/kto/shared"] + told["lane/kto/forward"] == alone["lane/kto/forward"]


def session(make_episode: MakeEpisode, name: str, turns: int) -> list[SealedEpisode]:
    """A session of turns of eight tokens."""
    draw, said = random.Random(name), tuple[int, ...]()
    made = list[SealedEpisode]()
    for turn in range(turns):
        asked, answer = (tuple(draw.randrange(256) for _ in range(4)) for _ in range(2))
        made.append(
            make_episode(
                generation_id=f"{name}.{turn}",
                prompt_token_ids=(*said, *asked),
                completion_token_ids=answer,
                reward=float(draw.random() < 0.5),
            )
        )
        said = (*said, *asked, *answer)
    return made


def test_a_session_costs_its_length(
    settings: LearnerSettings, make_batch: Callable[..., SealedBatch], make_episode: MakeEpisode
) -> None:
    """A batch of a 20-turn session: 160 tokens a pass in place of 1,680, and none is left out."""
    given = msgspec.structs.replace(settings, minibatch_episodes=64, pack_tokens=16)
    batch = msgspec.structs.replace(
        make_batch(), episodes=tuple(session(make_episode, "long", 20)), held_out=()
    )
    update = apply_batch(Learner(given), batch)
    passes = given.passes
    assert update.metrics["tokens/forward"] == passes * 160
    assert update.metrics["tokens/shared"] == passes * (1680 - 160)
    assert not update.left_out


def test_a_longer_turn_is_left_out_alone(
    settings: LearnerSettings, make_batch: Callable[..., SealedBatch], make_episode: MakeEpisode
) -> None:
    """Of a chain beyond the longest episode that is taken the turns that fit are learned from."""
    given = msgspec.structs.replace(settings, minibatch_episodes=64, max_episode_tokens=64)
    batch = msgspec.structs.replace(
        make_batch(), episodes=tuple(session(make_episode, "long", 12)), held_out=()
    )
    update = apply_batch(Learner(given), batch)
    assert update.left_out == {f"long.{turn}": "excluded:too_long" for turn in range(8, 12)}
    assert update.metrics["tokens/forward"] == given.passes * 64


def test_sessions_are_dealt_whole(
    settings: LearnerSettings, make_batch: Callable[..., SealedBatch], make_episode: MakeEpisode
) -> None:
    """Three sessions of four turns in two steps of six: each session goes through once a pass."""
    given = msgspec.structs.replace(settings, minibatch_episodes=6)
    turns = [one for name in "abc" for one in session(make_episode, name, 4)]
    random.Random(1).shuffle(turns)
    batch = msgspec.structs.replace(make_batch(), episodes=tuple(turns), held_out=())
    metrics = apply_batch(Learner(given), batch).metrics
    assert metrics["steps"] == 2 * given.passes
    assert metrics["tokens/forward"] == given.passes * 3 * 32
