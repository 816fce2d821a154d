"""Rank runs: commands carried out by several ranks, each a process that is forked once all is imported.

    python rank_runs.py FILE

FILE is a list of `RankRun` as JSON; they are made one after another. As the learner's own processes the
ranks meet at a port and each has a worker; what forks them is itself forked (`forked.py`), since the imports
take longer than the work. What each rank reports stands in `reports_of` afterwards.
"""

import os
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from forked import ForkServer

from rlwd.learner.process.protocol import Command, Report, decode_report, encode_line
from rlwd.learner.settings import LearnerProcessSettings

if TYPE_CHECKING:
    from torch import Tensor

    from rlwd.learner.train.packing import Pack
    from rlwd.learner.train.state import Learner


class Spoilt(msgspec.Struct, frozen=True, kw_only=True):
    """A forward pass with gradients that goes wrong on one rank alone."""

    rank: int
    """On which."""
    at: int
    """Which one, counted from 1."""
    gradient: bool
    """Whether its gradient is not finite, and not its loss."""


class RankRun(msgspec.Struct, frozen=True, kw_only=True):
    """A learner's start and what it is told, `settings.learner.processes` ranks of it."""

    settings: LearnerProcessSettings
    """As the daemon writes them."""
    commands: tuple[Command, ...]
    """In this order."""
    spoilt: Spoilt | None = None
    """What goes wrong; None where nothing does."""


def made_by_ranks(runs: Sequence[RankRun], folder: Path, forks: ForkServer) -> None:
    """Make the runs; an AssertionError with all that was logged where a rank failed."""
    file = folder / "runs.json"
    file.write_bytes(msgspec.json.encode(runs))
    status, _, told = forks.run("rank_runs", str(file), seconds=900.0)
    assert status == 0, told


def reports_of(folder: Path, rank: int) -> list[Report]:
    """Return what a rank reported of its commands, of the last run in a checkpoint folder."""
    lines = folder.with_name(f"{folder.name}.{rank}").read_bytes().splitlines()
    return [decode_report(line) for line in lines]


def _make(run: RankRun) -> int:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    port = listening.getsockname()[1]
    pids = []
    for rank in range(run.settings.learner.processes):
        if pid := os.fork():
            pids.append(pid)
            continue
        try:
            _work(run, rank, port, listening)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    listening.close()
    return max(os.waitpid(pid, 0)[1] for pid in pids)


def _work(run: RankRun, rank: int, port: int, listening: socket.socket) -> None:
    from rlwd.learner.process.traffic import Traffic
    from rlwd.learner.process.worker import Worker
    from rlwd.learner.ranks.join import join_ranks

    ranks = join_ranks(run.settings.learner, rank, port, None if rank else listening.detach())
    traffic = Traffic(run.settings.learner.yielding, lambda _: traffic.hear(0.0))
    worker = Worker(run.settings, ranks, traffic=traffic)
    if rank == 0:
        # As the daemon tells rank 0 alone, until it hears of a pause; without the setting nobody cares.
        traffic.hear(3600.0)
    if run.spoilt is not None and run.spoilt.rank == rank:
        _spoil(worker.learner, run.spoilt)
    folder = Path(run.settings.folder)
    with folder.with_name(f"{folder.name}.{rank}").open("wb") as reports:
        for command in run.commands:
            reports.write(encode_line(worker.run(command, lambda _: None)))


def _spoil(learner: "Learner", spoilt: Spoilt) -> None:
    """Have one forward pass give what is not finite, or have it so in the backward pass."""
    import torch

    whole, passes = learner.hidden, 0

    def hidden(packed: "Pack") -> "Tensor":
        nonlocal passes
        states_MD = whole(packed)
        passes += torch.is_grad_enabled()
        if passes != spoilt.at or not torch.is_grad_enabled():
            return states_MD
        if not spoilt.gradient:
            return states_MD * torch.nan
        states_MD.register_hook(lambda gradient_MD: gradient_MD * torch.nan)  # type: ignore[no-untyped-call]
        return states_MD

    learner.hidden = hidden  # type: ignore[method-assign]


if __name__ == "__main__":
    import rlwd.learner.process.worker
    import rlwd.learner.ranks.join  # noqa: F401

    for each in msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=list[RankRun]):
        if status := _make(each):
            raise SystemExit(f"a rank ended with status {status}")
