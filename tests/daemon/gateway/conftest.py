"""A gateway on a fake engine, and a real one that calls tools."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from adapter_by_hand import write_adapter
from gateway_rig import GatewayRig, LoopThread, version

from rlwd.ops.servers.process import NO_TLS
from rlwd.ops.servers.vllm_server import VllmServer


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


@pytest.fixture(scope="session")
def tool_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One vLLM that reads tool calls; the version of the flags' champion writes them."""
    from taught_tools import make_tool_policy

    folder = tmp_path_factory.mktemp("tools")
    make_tool_policy(folder / "policy")
    _, adapter = write_adapter(folder / "policy", folder, 0)
    with VllmServer(folder / "policy", folder, tool_parser="hermes", one_core=True) as server:
        body = {"lora_name": version(2).version, "lora_path": str(adapter)}
        httpx.post(
            f"{server.url}/v1/load_lora_adapter", json=body, timeout=60, verify=NO_TLS
        ).raise_for_status()
        yield server.url
