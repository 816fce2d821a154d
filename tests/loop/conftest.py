"""What the loops share: a policy that has something to learn, and a release driven over HTTP."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from gateway_rig import LoopThread
from rollout_rig import RolloutRig

from rlwd.daemon.worlds.styles import pretraining_pairs


@pytest.fixture(scope="session")
def styled_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny policy that gives every style of answer about equally often."""
    # Torch only where a policy is made.
    from rlwd.learner.tiny.model import make_tiny_policy

    folder = tmp_path_factory.mktemp("styled") / "tiny"
    make_tiny_policy(folder, seed=0, steps=250, examples=pretraining_pairs())
    return folder


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    """One event loop for the servers."""
    loop = LoopThread()
    yield loop
    loop.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is closed at the end of a test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def rig(
    tmp_path: Path, loop: LoopThread, stack: ExitStack, request: pytest.FixtureRequest
) -> RolloutRig:
    """A release whose v0 serves, with the `SETTINGS` of the module."""
    return RolloutRig(tmp_path, loop, stack, request.module.SETTINGS)
