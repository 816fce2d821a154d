"""LearnerState: all of a learner that a checkpoint holds beside its manifest, put together from all ranks."""

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..ranks.shards import gathered, part_of
from ..train.full_policy import FullPolicy
from ..train.policy import Policy
from ..train.state import Learner
from .estimator_files import ESTIMATORS, read_estimators

TRAINED = "trained.safetensors"
"""The weights that are trained, where what is offered is their average or their rounding."""
AVERAGE = "average.safetensors"
"""Their average, where what is offered is its rounding."""
OPTIMIZER, RANDOM = "optimizer.safetensors", "rng.safetensors"


class LearnerState(NamedTuple):
    """What is written of a learner."""

    policy: Policy
    """Whose it is."""
    files: dict[str, dict[str, Tensor]]
    """Tensors by file."""
    estimators: bytes
    """The estimators' JSON."""
    weights: dict[str, Tensor]
    """What is offered: the adapter, or all weights."""
    whole_every: int
    """Of full weights, how often they are written whole; 0 of an adapter."""

    def write(self, aside: Path) -> Path:
        """Write it into a checkpoint's folder; return the folder there of its adapter."""
        self.write_beside(aside)
        self.policy.save_adapter(aside / "adapter", self.weights)
        return aside / "adapter"

    def write_beside(self, aside: Path) -> None:
        """Write all but what is offered."""
        for name, tensors in self.files.items():
            save_file(tensors, aside / name)
        (aside / ESTIMATORS[0]).write_bytes(self.estimators)


def state_to_write(learner: Learner) -> LearnerState:
    """Collect it; every rank takes part, in the same order, and the tensors are the writing one's alone."""
    policy, average, ranks = learner.policy, learner.average, learner.ranks
    files = {
        OPTIMIZER: gathered(learner.moments(), ranks),
        RANDOM: {"cpu": torch.get_rng_state()},
    }
    if average is not None or _rounds(learner):
        files[TRAINED] = gathered(policy.trainable(), ranks)
    if average is not None and _rounds(learner):
        files[AVERAGE] = gathered(average, ranks)
    told, files[ESTIMATORS[1]] = learner.estimators.state()
    full = isinstance(policy, FullPolicy)
    with learner.offered():
        weights = policy.weights(ranks) if isinstance(policy, FullPolicy) else policy.adapter(ranks)
    every = learner.settings.whole_every if full else 0
    return LearnerState(policy, files, told, weights, every)


def load_state(learner: Learner, path: Path) -> None:
    """Take up all of a checkpoint but what is offered, which the policy has taken up already."""
    _load_trained(learner, path)
    learner.load_moments(load_file(path / OPTIMIZER))
    learner.estimators = read_estimators(path, learner.settings)
    torch.set_rng_state(load_file(path / RANDOM)["cpu"])


def _rounds(learner: Learner) -> bool:
    return isinstance(learner.policy, FullPolicy) and learner.policy.rounds


def _load_trained(learner: Learner, path: Path) -> None:
    """Where what was read is an average or a rounding, take up the trained weights beside it."""
    learner.average = None
    if not (path / TRAINED).exists():
        return
    weights = learner.policy.trainable()
    if (path / AVERAGE).exists():
        kept = load_file(path / AVERAGE)
        learner.average = {n: part_of(kept[n].to(p.device), p) for n, p in weights.items()}
    elif not _rounds(learner):
        learner.average = {name: p.detach().clone() for name, p in weights.items()}
    learner.take_weights(load_file(path / TRAINED))
