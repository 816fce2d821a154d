"""Real batches: what a finished run of the real model's demo learned from, out of its state."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from rlwd.daemon.commands.log_again import LogAgain
from rlwd.daemon.commands.rebuild import BatchSource, state_of_daemon
from rlwd.daemon.config import Config
from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.ledger.remade import held_episodes
from rlwd.learner.sealed import SealedBatch, SealedEpisode


def recorded_batches(config: Config) -> list[tuple[Manifest, SealedBatch]]:
    """Return every checkpoint that a batch made, oldest first, and that batch as it was sealed.

    Raises ValueError where one cannot be had any more. Nothing of the state is changed.
    """
    manifests = read_manifests(config.state_path / "checkpoints")
    state = partial(state_of_daemon, config)
    with (
        tempfile.TemporaryDirectory() as beside,
        LogAgain(config, state, Path(beside)) as log,
    ):
        source = BatchSource(config, state, log)
        return [(one, source.find(one)) for one in manifests if one.batch_id in one.applied]


def never_trained(config: Config, version: str) -> list[SealedEpisode]:
    """Return the answers of a version that somebody decided on and nothing was learned from."""
    with state_of_daemon(config) as view:
        rows = view.execute(
            "SELECT generation_id, reward FROM episodes WHERE policy = ? AND version = ?"
            " AND reward IS NOT NULL AND fate IN ('waiting', 'excluded:held_out')"
            " ORDER BY received, generation_id",
            (config.policy, version),
        ).fetchall()
        held = held_episodes(view, config.policy, [name for name, _ in rows])
    return [
        SealedEpisode(
            generation_id=name,
            segment=one.segment,
            version=version,
            age=0,
            prompt_token_ids=one.prompt_token_ids or (),
            completion_token_ids=one.completion_token_ids or (),
            logprobs=one.logprobs or (),
            temperature=one.sampling.temperature,
            reward=reward,
            reward_revision=0,
        )
        for name, reward in rows
        if name in held and (one := held[name].generation).logprobs
    ]


def of_lane(batch: SealedBatch, lane: str) -> SealedBatch:
    """Return a batch as if it had been sealed for one lane alone."""

    def alone(episodes: Sequence[SealedEpisode]) -> tuple[SealedEpisode, ...]:
        return tuple(
            msgspec.structs.replace(one, lane=lane) for one in episodes if one.in_lane(lane)
        )

    return msgspec.structs.replace(batch, episodes=alone(batch.episodes))
