"""A gateway on a fake engine."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from gateway_rig import GatewayRig, LoopThread


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayRig]:
    loop = LoopThread()
    try:
        with ExitStack() as stack:
            yield GatewayRig(tmp_path, loop, stack)
    finally:
        loop.close()


@pytest.fixture
def client(gateway: GatewayRig) -> httpx.Client:
    gateway.set_flags()
    return gateway.open()
