"""Preference evidence: what an update notes of held-out users' answers, beside the weighted estimate."""

from collections.abc import Callable

import msgspec
import pytest

from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import Update, apply_batch

MakeEpisode = Callable[..., SealedEpisode]
MakeBatch = Callable[..., SealedBatch]
GOOD, BAD = (20, 21, 22), (30, 31)


def greedy(make_episode: MakeEpisode, name: str, count: int, **more: int) -> list[SealedEpisode]:
    """Answers of which one half is liked, and is another than the other half."""
    return [
        make_episode(
            generation_id=f"{name}{index}",
            segment="greedy",
            prompt_token_ids=(1, 2),
            completion_token_ids=GOOD if index % 2 else BAD,
            logprobs=(),
            temperature=0.0,
            reward=float(index % 2),
            lane="kto",
            person=index + 1 if more else 0,
        )
        for index in range(count)
    ]


def applied(
    settings: LearnerSettings, batch: SealedBatch, make_episode: MakeEpisode, *, flipped: bool
) -> Update:
    """Learn a mixed batch, with the greedy answers' rewards as they are or turned round."""
    taught = greedy(make_episode, "t", 12)
    if flipped:
        taught = [msgspec.structs.replace(one, reward=1 - one.reward) for one in taught]
    held = greedy(make_episode, "h", 10, person=1)
    mixed = msgspec.structs.replace(
        batch, episodes=(*batch.episodes, *taught), held_out=(*batch.held_out, *held)
    )
    return apply_batch(Learner(settings), mixed, lanes=lane_parts)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_mixed_batch_has_both_kinds(
    settings: LearnerSettings, make_batch: MakeBatch, make_episode: MakeEpisode, *, flipped: bool
) -> None:
    """Weights judge what has a ratio, preferences the rest; with the sign turned they say so."""
    batch = make_batch()
    update = applied(settings, batch, make_episode, flipped=flipped)
    assert update.held_out is not None
    assert update.held_out.count == len(batch.held_out)
    assert update.preference is not None
    assert (update.preference.count, update.preference.users) == (10, 10)
    assert update.preference.concordance == float(not flipped)
    assert update.left_out == {}


def test_without_any_there_is_none(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """A batch of the ratio lane alone has the weighted estimate alone."""
    update = apply_batch(Learner(settings), make_batch(), lanes=lane_parts)
    assert update.held_out is not None
    assert update.preference is None
