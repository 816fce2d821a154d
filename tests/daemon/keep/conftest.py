"""Fixtures: a repository under watch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from keep_rig import KeepRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[KeepRig]:
    made = KeepRig(tmp_path)
    yield made
    made.watch.store.close()
