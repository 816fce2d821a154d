"""Selection: one bad episode is left out alone, by a rule of the shared list, and costs nobody else's."""

from collections.abc import Callable

import msgspec
import pytest

from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.selection import exclusion, select_episodes
from rlwd.streams.join import fate

MakeBatch = Callable[..., SealedBatch]

UNFIT: list[tuple[dict[str, object], str, str]] = [
    ({"logprobs": (-1.0,)}, fate.NO_LOGPROBS, "logprobs: 1 for"),
    ({"temperature": 0.01}, fate.LOW_TEMPERATURE, "temperature: 0.01 is below 0.05"),
    ({"temperature": 0.0}, fate.LOW_TEMPERATURE, "temperature: 0.0 is below 0.05"),
    ({"temperature": float("nan")}, fate.LOW_TEMPERATURE, "temperature: nan is below 0.05"),
    ({"reward": 1.5}, fate.BAD_REWARD, "reward: 1.5 is not in [0, 1]"),
    ({"reward": float("nan")}, fate.BAD_REWARD, "reward: nan is not in [0, 1]"),
    ({"prompt_token_ids": ()}, fate.NO_TOKENS, "prompt_token_ids: empty"),
    ({"completion_token_ids": (), "logprobs": ()}, fate.NO_TOKENS, "completion_token_ids: empty"),
    ({"prompt_token_ids": (260,)}, fate.UNKNOWN_TOKENS, "token id 260: the model knows 260"),
    (
        {"completion_token_ids": (1,), "logprobs": (float("nan"),)},
        fate.NO_LOGPROBS,
        "logprobs: not finite",
    ),
    ({"prompt_token_ids": (1,) * 9000}, fate.TOO_LONG, "learner.max_episode_tokens is 8192"),
    ({"age": 9}, fate.TOO_OLD, "age: 9, learner.max_policy_age is 8"),
]


@pytest.mark.parametrize(("changes", "rule", "problem"), UNFIT)
def test_unfit_episodes(
    changes: dict[str, object],
    rule: str,
    problem: str,
    settings: LearnerSettings,
    make_batch: MakeBatch,
) -> None:
    """An episode that cannot be learned from is left out by its rule, held out or not."""
    batch = make_batch(**changes)
    found = exclusion(batch.episodes[0], settings, 260)
    assert found is not None
    assert found[0] == rule
    assert problem in found[1]
    chosen = select_episodes(batch, settings, 260)
    assert chosen.left_out == {"s1.g0": rule}
    assert chosen.episodes == batch.episodes[1:]
    assert chosen.held_out == batch.held_out
    aside = msgspec.structs.replace(batch, episodes=(), held_out=batch.episodes[:1])
    assert select_episodes(aside, settings, 260).left_out == {"s1.g0": rule}


def test_every_rule_is_on_the_shared_list() -> None:
    """What the learner may say is what the daemon knows."""
    by_batch = {fate.DRIFT, fate.LOW_ESS, fate.NO_SPREAD, fate.NO_WEIGHT}
    at_a_service = {fate.OTHER_TEMPERATURE}
    of_mixtures = {fate.WRONG_EXPERTS}
    told = {rule for _, rule, _ in UNFIT} | by_batch | at_a_service | of_mixtures
    assert told == set(fate.LEARNER_RULES)
