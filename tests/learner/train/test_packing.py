"""Packing: what episodes say of themselves alone, they say in company too."""

from collections.abc import Callable

import msgspec
import pytest
import torch

from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.load import load_policy
from rlwd.learner.train.packing import pack
from rlwd.learner.train.state import Learner

CPU = torch.device("cpu")


def test_worked_example(make_episode: Callable[..., SealedEpisode]) -> None:
    """The layout in the docstring: two episodes in one row of six."""
    first = make_episode(logprobs=(-0.1, -0.2), temperature=0.5)
    second = make_episode(
        prompt_token_ids=(9,), completion_token_ids=(4,), logprobs=(-0.3,), temperature=2.0
    )
    got = pack([first, second], tokens=6, device=CPU)
    assert got.ids_BT.tolist() == [[5, 6, 7, 8, 9, 4]]
    assert got.positions_BT.tolist() == [[0, 1, 2, 3, 0, 1]]
    assert (got.rows_M.tolist(), got.columns_M.tolist()) == ([0, 0, 0], [1, 2, 4])
    assert (got.targets_M.tolist(), got.segments_M.tolist()) == ([7, 8, 4], [0, 0, 1])
    assert got.behaviour_M.tolist() == pytest.approx([-0.1, -0.2, -0.3])
    assert got.temperature_M.tolist() == [0.5, 0.5, 2.0]


def test_rows_are_filled_longest_first(make_episode: Callable[..., SealedEpisode]) -> None:
    """Rows hold at most the tokens asked for, and what is left counts on from zero."""
    lengths = (3, 6, 4, 5)
    episodes = [make_episode(prompt_token_ids=(1,) * (n - 2)) for n in lengths]
    got = pack(episodes, tokens=9, device=CPU)
    assert got.positions_BT.tolist() == [
        [0, 1, 2, 3, 4, 5, 0, 1, 2],
        [0, 1, 2, 3, 4, 0, 1, 2, 3],
    ]
    assert got.segments_M.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert got.rows_M.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("tokens", [8, 40, 64, 4096])
def test_packing_changes_nothing(
    tokens: int, settings: LearnerSettings, make_batch: Callable[..., SealedBatch]
) -> None:
    """Logits in packed rows, one row or many, are those of each episode alone to 1e-5."""
    policy, episodes = load_policy(settings), make_batch(episodes=14).episodes
    packed = pack(episodes, tokens=tokens, device=CPU)
    assert (len(packed.ids_BT) == 1) == (tokens == 4096)
    with torch.no_grad():
        states = policy.hidden(packed.ids_BT, packed.positions_BT)
        together = states[packed.rows_M, packed.columns_M] @ policy.head_VD.T
        for index, episode in enumerate(episodes):
            ids = torch.tensor([[*episode.prompt_token_ids, *episode.completion_token_ids]])
            alone = policy.causal(input_ids=ids, use_cache=False).logits[0]
            wanted = alone[len(episode.prompt_token_ids) - 1 : -1]
            torch.testing.assert_close(
                together[packed.segments_M == index], wanted, rtol=0, atol=1e-5
            )


def test_a_long_episode_widens_no_other_row(
    settings: LearnerSettings, make_batch: Callable[..., SealedBatch]
) -> None:
    """An episode longer than a row goes alone, so that a pass holds no more than it or a full pack."""
    given = msgspec.structs.replace(settings, pack_tokens=40, rows_per_forward=2)
    long = {"completion_token_ids": (7,) * 90, "logprobs": (-5.0,) * 90}
    learner = Learner(given)
    packs = learner.packs(make_batch(episodes=14, **long).episodes)
    shapes = [tuple(packed.ids_BT.shape) for _, packed, _ in packs]
    assert next(one.indices for one in packs) == [0]
    assert shapes[0][0] == 1
    assert all(columns <= 40 for _, columns in shapes[1:])
    assert sorted(index for one in packs for index in one.indices) == list(range(14))
