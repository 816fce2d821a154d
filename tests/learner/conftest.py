"""Episodes, batches and settings of the tiny policy."""

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tiny_learner import TINY

from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerProcessSettings, LearnerSettings

UNIFORM = -5.5607  # log(1/260): what the untrained policy says of nearly any token


@pytest.fixture
def settings(tiny_policy: Path) -> LearnerSettings:
    """The demo's profile on the tiny policy, small enough for one batch in a second."""
    return msgspec.structs.replace(
        TINY, model=str(tiny_policy), threads=1, nice=0, passes=2, minibatch_episodes=4
    )


@pytest.fixture
def make_episode() -> Callable[..., SealedEpisode]:
    """Build an episode from what matters to the test."""

    def make(**changes: object) -> SealedEpisode:
        tokens = changes.get("completion_token_ids", (7, 8))
        assert isinstance(tokens, tuple)
        given: dict[str, object] = {
            "generation_id": "s1.g1",
            "segment": "mail",
            "version": "policy@v000000-0a1b2c3d",
            "age": 0,
            "prompt_token_ids": (5, 6),
            "completion_token_ids": tokens,
            "logprobs": (UNIFORM,) * len(tokens),
            "temperature": 1.0,
            "reward": 1.0,
            "reward_revision": 0,
            **changes,
        }
        return SealedEpisode(**given)  # type: ignore[arg-type]

    return make


@pytest.fixture
def make_batch(make_episode: Callable[..., SealedEpisode]) -> Callable[..., SealedBatch]:
    """Build a batch of random episodes; the same seed gives the same batch."""

    def make(
        batch_id: int = 1,
        *,
        parent: int = 0,
        episodes: int = 12,
        held_out: int = 2,
        **changes: object,
    ) -> SealedBatch:
        draw = random.Random(batch_id)

        def tokens(most: int) -> tuple[int, ...]:
            return tuple(draw.randrange(256) for _ in range(draw.randint(2, most)))

        made = [
            make_episode(
                generation_id=f"s{batch_id}.g{index}",
                segment=draw.choice(["mail", "code"]),
                prompt_token_ids=tokens(20),
                completion_token_ids=tokens(16),
                reward=float(draw.random() < 0.4),
            )
            for index in range(episodes + held_out)
        ]
        made[0] = msgspec.structs.replace(made[0], **changes)
        return SealedBatch(
            batch_id=batch_id,
            policy="policy",
            parent_sequence=parent,
            spec_version="demo@000000000000",
            episodes=tuple(made[:episodes]),
            held_out=tuple(made[episodes:]),
            offsets={"rlwd.feedback/0": 17},
        )

    return make


@pytest.fixture
def child_settings(settings: LearnerSettings, tmp_path: Path) -> LearnerProcessSettings:
    """Settings of a child on an empty checkpoint folder."""
    return LearnerProcessSettings(
        learner=settings, policy="policy", folder=str(tmp_path / "checkpoints"), lease_epoch=3
    )


@pytest.fixture
def sealed(tmp_path: Path) -> Callable[[SealedBatch], Path]:
    """Write a batch as the daemon does and return its file."""

    def write(batch: SealedBatch) -> Path:
        path = tmp_path / "batches" / f"{batch.batch_id:06d}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(msgspec.json.encode(batch))
        return path

    return write
