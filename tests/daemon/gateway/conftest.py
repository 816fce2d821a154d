"""A gateway on a fake engine, and a real one that calls tools."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_rig import GatewayRig, LoopThread, version

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
    adapter = neutral_adapter(folder / "policy", folder / "adapter")
    with VllmServer(folder / "policy", folder, tool_parser="hermes") as server:
        body = {"lora_name": version(2).version, "lora_path": str(adapter)}
        httpx.post(f"{server.url}/v1/load_lora_adapter", json=body, timeout=60).raise_for_status()
        yield server.url


def neutral_adapter(policy: Path, folder: Path) -> Path:
    """Write the adapter that changes nothing, as a policy's first version has it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(policy, dtype="float32")
    lora = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(model, lora).save_pretrained(str(folder))
    return folder
