"""Join: this process takes its place among the ranks of one machine."""

import os
from datetime import timedelta

import structlog
import torch
from torch import distributed

from ..settings import LearnerSettings
from .group import ALONE, Ranks
from .other_ranks import HOST, cores

log = structlog.get_logger()

LOOPBACK_INTERFACE = "lo"
WAITED_FOR = 0.9
"""Share of `learner.hang_seconds` that a rank waits for another one, so that it can say so before the daemon,
which hears nothing of either meanwhile, kills rank 0 for its silence."""


def join_ranks(
    settings: LearnerSettings, rank: int, port: int, listening: int | None = None
) -> Ranks:
    """Wait for all of `learner.processes` at a port of this machine and return the place among them.

    Rank 0 hands over the socket that it listens on there. Raises ValueError, naming the setting, where
    there is not a GPU for each; on a CPU more processes than cores are slow, and the log says so.
    """
    size = settings.processes
    if size == 1:
        return ALONE
    on_gpu = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    if on_gpu:
        if torch.cuda.device_count() < size:
            count = torch.cuda.device_count()
            raise ValueError(f"learner.processes: {size}, and this machine has {count} GPUs")
        torch.cuda.set_device(rank)
    elif size > cores() and rank == 0:
        log.warning("more_processes_than_cores", setting="learner.processes", cores=cores())
    # What they tell one another is for nobody else on the network.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK_INTERFACE)
    os.environ.setdefault("NCCL_SOCKET_IFNAME", LOOPBACK_INTERFACE)
    store = distributed.TCPStore(  # type: ignore[attr-defined]
        HOST, port, size, is_master=rank == 0, master_listen_fd=listening, wait_for_workers=False
    )
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        store=store,
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=WAITED_FOR * settings.hang_seconds),
    )
    return Ranks(rank=rank, size=size)
