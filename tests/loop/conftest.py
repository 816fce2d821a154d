"""A policy that knows the crowd's answer styles, all alike: there is something to learn."""

from pathlib import Path

import pytest

from rlwd.daemon.demo.task import pretraining_pairs


@pytest.fixture(scope="session")
def styled_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny policy that gives every style of answer about equally often."""
    # Torch only where a policy is made.
    import torch

    from rlwd.learner.tiny.model import make_tiny_policy

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("styled") / "tiny"
    make_tiny_policy(folder, seed=0, steps=250, examples=pretraining_pairs())
    return folder
