"""Credit per token in the update: which tokens become likelier, and what an answer gets in all."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from rlwd.learner.estimators.token_advantage import token_advantages
from rlwd.learner.sealed import SealedBatch, SealedEpisode, batch_hash
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train import update
from rlwd.learner.train.packing import read_batch
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner

MakeEpisode = Callable[..., SealedEpisode]
MakeBatch = Callable[..., SealedBatch]


def test_the_mean_over_an_answer_is_its_advantage(make_episode: MakeEpisode) -> None:
    """Credit moves advantage between tokens of an answer and adds none."""
    one = make_episode(completion_token_ids=(7, 8, 9, 4), credit=(0.25, 0.25, -0.75, 0.25))
    got = token_advantages(one, 1.5, 2.0)
    assert got.tolist() == pytest.approx([2.0, 2.0, 0.0, 2.0])
    assert float(got.mean()) == pytest.approx(1.5)


def test_what_was_left_becomes_likelier_and_what_was_deleted_less(
    settings: LearnerSettings, make_batch: MakeBatch
) -> None:
    """Of an answer that did no better than others, the two halves move apart; without credit they do not."""
    moved = {}
    for weight in (0.0, 1.0):
        learner = Learner(msgspec.structs.replace(settings, token_credit=weight, kl_weight=0.0))
        base: SealedBatch = make_batch(episodes=8)
        half = [0.5, -0.5]
        marked = [
            msgspec.structs.replace(
                one,
                completion_token_ids=(40, 41),
                logprobs=(-5.5607, -5.5607),
                prompt_token_ids=(5, 6),
                credit=tuple(half),
            )
            for one in base.episodes
        ]
        batch = msgspec.structs.replace(base, episodes=tuple(marked), held_out=())
        before = score(learner, marked[:1]).logp[0].clone()
        update.apply_batch(learner, batch)
        moved[weight] = score(learner, marked[:1]).logp[0] - before
    apart = {weight: float(change[0] - change[1]) for weight, change in moved.items()}
    assert apart[1.0] > 0.05 + abs(apart[0.0])
    assert torch.isfinite(moved[1.0]).all()


def test_a_batch_keeps_its_credit_and_one_without_keeps_its_hash(
    make_batch: MakeBatch, tmp_path: Path
) -> None:
    """Nothing is written where there is none; a credit of another length is refused by its field."""
    batch: SealedBatch = make_batch(episodes=3)
    written = msgspec.json.encode(batch, order="sorted")
    assert b"credit" not in written
    one = batch.episodes[0]
    credit = tuple([0.0] * len(one.completion_token_ids))
    changed = msgspec.structs.replace(
        batch, episodes=(msgspec.structs.replace(one, credit=credit), *batch.episodes[1:])
    )
    assert batch_hash(changed) != batch_hash(batch)
    path = tmp_path / "batch.json"
    path.write_bytes(msgspec.json.encode(changed))
    assert read_batch(path).episodes[0].credit == credit
    path.write_bytes(
        msgspec.json.encode(changed).replace(b'"credit":[0.0', b'"credit":[0.0,0.0', 1)
    )
    with pytest.raises(ValueError, match=r"credit: .* values for"):
        read_batch(path)
