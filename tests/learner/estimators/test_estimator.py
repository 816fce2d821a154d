"""What every estimator promises: no reward in its own baseline, an unbiased gradient, the same bits."""

import itertools
import math
import random
from collections.abc import Callable, Sequence

import msgspec
import pytest
import torch
from tiny_learner import TINY
from torch import Tensor

from rlwd.learner.estimators.side_by_side import Estimators
from rlwd.learner.sealed import SealedEpisode

Make = Callable[..., SealedEpisode]
NAMES = ("tracker", "exponential_mean", "reinforce_plus_plus", "contextual")
WIDTH = 6
PROMPTS = ((0, "mail"), (1, "mail"), (0, "code"), (1, "code"))


def states_of(episodes: Sequence[SealedEpisode]) -> Tensor:
    """A state for each prompt, the same whenever it is asked."""
    return torch.stack(
        [
            torch.randn(WIDTH, generator=torch.Generator().manual_seed(e.prompt_token_ids[0]))
            for e in episodes
        ]
    )


def random_episodes(make: Make, seed: int, count: int) -> list[SealedEpisode]:
    """Answers of few strata, with weights, confounds and lengths, that earn by their prompt."""
    draw = random.Random(seed)
    made = []
    for index in range(count):
        prompt = draw.randrange(8)
        made.append(
            make(
                generation_id=f"g{index}",
                segment=draw.choice(["mail", "code"]),
                harness=draw.choice(["", "1.0", "2.0"]),
                prompt_token_ids=(prompt, 1),
                completion_token_ids=(7,) * draw.randint(1, 9),
                age=draw.randrange(3),
                version=f"policy@v{draw.randrange(4):06d}-0a1b2c3d",
                weight=draw.choice([0.25, 1.0, 3.0]),
                confound=draw.choice([0.0, 0.1]),
                reward=float(draw.random() < 0.1 + 0.1 * prompt),
            )
        )
    return made


def warmed(make: Make, batches: int = 3, **changes: object) -> Estimators:
    """Estimators that went through a few batches."""
    found = Estimators.new(msgspec.structs.replace(TINY, **changes))
    for seed in range(batches):
        episodes = random_episodes(make, seed, 40)
        found.observe(episodes, states_of(episodes))
        found.moved({"mail": 0.01}, otherwise=0.02)
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batches", [0, 3])
def test_no_reward_is_in_its_own_baseline(name: str, batches: int, make_episode: Make) -> None:
    """Another reward of its own changes an answer's baseline not at all, and other answers' it does."""
    one = warmed(make_episode, batches).named()[name]
    episodes = random_episodes(make_episode, 9, 24)
    states_ND = states_of(episodes)
    was = one.baselines(episodes, states_ND)
    others = 0.0
    for index, episode in enumerate(episodes):
        changed = list(episodes)
        changed[index] = msgspec.structs.replace(episode, reward=1.0 - episode.reward)
        now = one.baselines(changed, states_ND)
        assert now[index] == pytest.approx(was[index], abs=1e-9)
        others += sum(abs((a or 0.0) - (b or 0.0)) for a, b in zip(now, was, strict=True))
    assert others > 0.1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batches", [0, 3])
def test_no_reward_of_its_session_is_in_a_baseline(
    name: str, batches: int, make_episode: Make
) -> None:
    """What came of a session changes the baseline of none of its answers, whatever segments they are of."""
    one = warmed(make_episode, batches).named()[name]
    given = random_episodes(make_episode, 9, 24)
    episodes = [msgspec.structs.replace(e, session=i % 4) for i, e in enumerate(given)]
    states_ND = states_of(episodes)
    was = one.baselines(episodes, states_ND)
    for session in (1, 2, 3):
        changed = [
            msgspec.structs.replace(e, reward=1.0 - e.reward) if e.session == session else e
            for e in episodes
        ]
        now = one.baselines(changed, states_ND)
        ours = [index for index, episode in enumerate(episodes) if episode.session == session]
        assert [now[i] for i in ours] == pytest.approx([was[i] for i in ours], abs=1e-9)
        others = [index for index, episode in enumerate(episodes) if episode.session == 0]
        assert [now[i] for i in others] != pytest.approx([was[i] for i in others], abs=1e-3)


def test_what_came_of_sessions_explains_nothing(make_episode: Make) -> None:
    """Sessions of twenty turns whose outcome nothing foretells: the contextual baseline foretells none,
    and leaves an answer's advantage whole. (Fitted on its own session it kept a tenth of it.)"""
    one = Estimators.new(msgspec.structs.replace(TINY, estimator="contextual"))
    draw = random.Random(1)
    for number in range(4):
        episodes, states = list[SealedEpisode](), list[Tensor]()
        noise = torch.Generator().manual_seed(number)
        for session in range(1, 13):
            base, outcome = torch.randn(16, generator=noise), float(draw.random() < 0.5)
            for turn in range(20):
                name = f"s{session}.g{turn}"
                episodes.append(make_episode(generation_id=name, reward=outcome, session=session))
                states.append(base + 0.2 * torch.randn(16, generator=noise))
        values = one.baselines(episodes, torch.stack(states))["contextual"]
        left = [e.earned - (v or 0.0) for e, v in zip(episodes, values, strict=True)]
        assert sum(map(abs, left)) / len(left) > 0.3
        one.observe(episodes, torch.stack(states))


def test_a_session_alone_is_held_against_itself(make_episode: Make) -> None:
    """Where nothing else is known, an answer's baseline is of the other answers of its session."""
    rewards = (1.0, 0.0, 0.5)
    episodes = [
        make_episode(generation_id=f"g{i}", reward=r, session=1) for i, r in enumerate(rewards)
    ]
    found = Estimators.new(TINY).baselines(episodes, None)
    for name in NAMES:
        assert found[name] == pytest.approx([0.25, 0.75, 0.5], abs=0.05), name


@pytest.mark.parametrize("name", [*NAMES, "none"])
def test_the_gradient_is_unbiased(name: str, make_episode: Make) -> None:
    """On a policy whose every outcome can be counted, the expected gradient is that of the mean reward.

    Four prompts of two answers each, which earn by prompt and answer: all sixteen batches, each by
    its probability; d log pi / d logit of an answer is (chosen - probability).
    """
    estimators = warmed(make_episode)
    chance = [0.3, 0.6, 0.5, 0.8]
    pays = [(0.0, 0.4), (1.0, 0.9), (0.2, 1.0), (0.7, 0.1)]
    truth = [p * (1 - p) * (b - a) for p, (a, b) in zip(chance, pays, strict=True)]
    expected = [0.0] * len(truth)
    for taken in itertools.product((0, 1), repeat=len(PROMPTS)):
        episodes = [
            make_episode(prompt_token_ids=(prompt, 1), segment=segment, reward=pays[i][taken[i]])
            for i, (prompt, segment) in enumerate(PROMPTS)
        ]
        values: Sequence[float | None] = [0.0] * len(episodes)
        if name != "none":
            values = estimators.named()[name].baselines(episodes, states_of(episodes))
        probability = math.prod(
            p if chosen else 1 - p for p, chosen in zip(chance, taken, strict=True)
        )
        for i, (episode, value) in enumerate(zip(episodes, values, strict=True)):
            assert value is not None
            slope = taken[i] - chance[i]
            expected[i] += probability * (episode.reward - value) * slope
    assert expected == pytest.approx(truth, abs=1e-9)


def test_a_baseline_with_its_own_reward_would_be_biased(make_episode: Make) -> None:
    """The count of all outcomes sees a bias: with the batch's plain mean the gradient is a quarter short."""
    chance, pays = 0.3, (0.0, 0.4)
    expected = 0.0
    for taken in itertools.product((0, 1), repeat=4):
        rewards = [pays[one] for one in taken]
        probability = math.prod(chance if one else 1 - chance for one in taken)
        expected += probability * (rewards[0] - sum(rewards) / 4) * (taken[0] - chance)
    assert expected == pytest.approx(0.75 * chance * (1 - chance) * 0.4)


@pytest.mark.parametrize("name", NAMES)
def test_one_answer_and_one_segment(name: str, make_episode: Make) -> None:
    """A batch of one has no baseline where nothing was known; of one prompt once each it has."""
    new = Estimators.new(TINY).named()[name]
    single = [make_episode(reward=1.0)]
    assert new.baselines(single, states_of(single)) == [None]
    two = [make_episode(reward=1.0), make_episode(reward=0.0, prompt_token_ids=(6,))]
    values = new.baselines(two, states_of(two))
    assert values == pytest.approx([0.0, 1.0], abs=1e-4)


def test_all_rewards_equal(make_episode: Make) -> None:
    """Equal rewards are expected by all of them afterwards, and nothing is left that is not finite."""
    estimators = Estimators.new(TINY)
    same = [make_episode(reward=0.3, prompt_token_ids=(i, 1)) for i in range(20)]
    for _ in range(3):
        estimators.observe(same, states_of(same))
        estimators.moved({}, otherwise=0.05)
    for values in estimators.baselines(same, states_of(same)).values():
        assert values == pytest.approx([0.3] * 20, abs=1e-4)


def test_comes_back_to_the_bit(make_episode: Make) -> None:
    """What is written and read again says the same of the next batches, and writes the same bytes."""
    one = warmed(make_episode)
    raw, tensors = one.state()
    other = Estimators.from_state(raw, tensors, one.settings)
    for seed in (20, 21):
        episodes = random_episodes(make_episode, seed, 30)
        given = episodes, states_of(episodes)
        assert one.baselines(*given) == other.baselines(*given)
        for each in (one, other):
            each.observe(*given)
            each.moved({"code": 0.1}, otherwise=0.3)
    assert one.state()[0] == other.state()[0]
    assert all(torch.equal(t, other.state()[1][name]) for name, t in one.state()[1].items())


def test_by_hand(make_episode: Make) -> None:
    """The docstrings' numbers of the exponential mean and of the batch's mean."""
    estimators = Estimators.new(msgspec.structs.replace(TINY, mean_decay=0.5)).named()
    three = [
        make_episode(reward=1.0, completion_token_ids=(7,)),
        make_episode(reward=0.0, completion_token_ids=(7,)),
        make_episode(reward=0.0, completion_token_ids=(7, 7, 8)),
    ]
    mean = estimators["exponential_mean"].baselines(three, None)
    assert mean == pytest.approx([0.0, 0.25 / 0.75, 0.25 / 0.75])
    assert estimators["reinforce_plus_plus"].baselines(three, None) == [0.0, 1 / 4, 1 / 2]
    estimators["exponential_mean"].observe(three, None)
    after = estimators["exponential_mean"].baselines([make_episode()], None)
    assert after == pytest.approx([0.125 / 0.875])
