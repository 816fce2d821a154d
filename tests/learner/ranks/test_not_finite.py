"""What is not finite on one rank alone: all ranks give the batch up together, and stay equal."""

from collections.abc import Callable
from pathlib import Path

import msgspec
from forked import ForkServer
from rank_runs import RankRun, Spoilt, made_by_ranks, reports_of

from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.process.protocol import Apply, BatchFailed, Checkpointed, Command, Skip
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerProcessSettings

PLACE = "rng.safetensors"
"""What a checkpoint has of its process, and not of its batches."""
LATE = 5
"""A pass with gradients of a batch of three steps a time: one after the first step."""
SPOILT = {
    "loss": (Spoilt(rank=1, at=LATE, gradient=False), "the loss is not finite"),
    "loss of rank 0": (Spoilt(rank=0, at=LATE, gradient=False), "the loss is not finite"),
    "gradient": (Spoilt(rank=1, at=LATE, gradient=True), "the gradient is not finite"),
    "whole": (Spoilt(rank=1, at=LATE, gradient=True), "the gradient is not finite"),
    "lane": (Spoilt(rank=1, at=1, gradient=False), "the loss of the lane kto is not finite"),
}
"""By folder: what goes wrong, and what is said of it. `whole` learns every weight."""


def test_all_give_the_batch_up_and_go_on_with_the_next(
    child_settings: LearnerProcessSettings,
    make_batch: Callable[..., SealedBatch],
    sealed: Callable[[SealedBatch], Path],
    tmp_path: Path,
    forks: ForkServer,
) -> None:
    """They make of the next batch the bits of ranks that were never told of the bad one."""
    answers = make_batch(1)
    liked = msgspec.structs.replace(
        answers,
        batch_id=3,
        episodes=tuple(
            msgspec.structs.replace(one, lane="kto", logprobs=(), temperature=0.0)
            for one in answers.episodes
        ),
    )
    bad = {"lane": liked}
    following = Apply(path=str(sealed(make_batch(2, parent=1))))

    def run(name: str, full: bool, command: Command, spoilt: Spoilt | None) -> RankRun:
        learner = msgspec.structs.replace(
            child_settings.learner, processes=2, lanes=LaneSettings(kto=1.0)
        )
        if full:
            learner = msgspec.structs.replace(learner, weights="full", learning_rate=1e-4)
        settings = msgspec.structs.replace(
            child_settings, learner=learner, folder=str(tmp_path / name)
        )
        return RankRun(settings=settings, commands=(command, following), spoilt=spoilt)

    paths = {name: str(sealed(bad.get(name, answers))) for name in SPOILT}
    runs = [
        run(name, name == "whole", Apply(path=paths[name]), spoilt)
        for name, (spoilt, _) in SPOILT.items()
    ]
    skip = Skip(path=paths["loss"], reason="as if")
    runs += [run("steady", False, skip, None), run("steady whole", True, skip, None)]
    made_by_ranks(runs, tmp_path, forks)
    for name, (_, said) in SPOILT.items():
        reports = [reports_of(tmp_path / name, rank) for rank in (0, 1)]
        assert reports[0] == reports[1], name
        failed, done = reports[0]
        assert isinstance(failed, BatchFailed), failed
        assert (failed.reason, failed.sequence) == (said, 1), name
        assert isinstance(done, Checkpointed), done
        steady = tmp_path / ("steady whole" if name == "whole" else "steady")
        ours, wanted = (read_manifests(folder)[2] for folder in (tmp_path / name, steady))
        kept = [{k: v for k, v in one.files.items() if k != PLACE} for one in (ours, wanted)]
        assert kept[0] == kept[1], name
        assert (ours.digest, ours.probe) == (wanted.digest, wanted.probe), name
        assert ours.applied == (2,), name
