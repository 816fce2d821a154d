"""Fixtures: a repository under watch, and a gateway that what is kept is posted to."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from gateway_rig import GatewayRig, LoopThread
from keep_rig import KeepRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[KeepRig]:
    made = KeepRig(tmp_path)
    yield made
    made.watch.store.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[GatewayRig, httpx.Client]]:
    with ExitStack() as stack:
        loop = LoopThread()
        stack.callback(loop.close)
        (tmp_path / "gateway").mkdir()
        gateway = GatewayRig(tmp_path / "gateway", loop, stack)
        gateway.set_flags()
        yield gateway, gateway.open()
