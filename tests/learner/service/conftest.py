"""A stand-in of a training service, and settings without what no service offers."""

import gc
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from stand_in_server import NO_LANES, StandInServer
from tiny_learner import TINY

from rlwd.learner.settings import LearnerSettings


@pytest.fixture(scope="package")
def stand_in(
    tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StandInServer]:
    """One process for all; each test begins runs of its own."""
    with StandInServer(tiny_policy, tmp_path_factory.mktemp("stand-in")) as server:
        yield server


@pytest.fixture(scope="package")
def plain(tiny_policy: Path) -> LearnerSettings:
    """The tiny learner without the vocabulary's KL and without lanes."""
    return msgspec.structs.replace(
        TINY,
        model=str(tiny_policy),
        kl_weight=0.0,
        lanes=NO_LANES,
        nice=0,
        passes=2,
        minibatch_episodes=4,
    )


@pytest.fixture(autouse=True)
def _dropped_here() -> Iterator[None]:
    """What the client library drops without closing is found dropped in the test that used it."""
    yield
    gc.collect()
