"""Learner processes for a test, none of which is left behind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forked import ForkServer
from learner_child import Child

from rlwd.learner.settings import LearnerProcessSettings


@pytest.fixture
def start(tmp_path: Path, forks: ForkServer) -> Iterator[Callable[[LearnerProcessSettings], Child]]:
    """Start children, and leave none behind."""
    children: list[Child] = []

    def start(settings: LearnerProcessSettings) -> Child:
        children.append(Child(settings, tmp_path, forks))
        return children[-1]

    yield start
    for child in children:
        child.close()
