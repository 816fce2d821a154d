"""Router settings: where `rlwd router` listens, how many servers it may start, and how."""

from typing import Literal

import msgspec

LEAST_SLOTS = 4
"""The anchor, the champion, the one before it, and a candidate."""
OURS = (
    *("--model", "--served-model-name", "--host", "--port", "--dtype", "--name", "--api-key"),
    *("--logprobs-mode", "--generation-config"),
)
"""What the router itself tells a server."""


class RouterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`rlwd router`: a server for each version of full weights, behind one port (docs/full_weights.md).

    Of `learner.weights = "full"` alone; `engine.urls` then names routers.
    """

    host: str = "127.0.0.1"
    """Address to listen on. On another one than loopback it asks callers for `engine.token`."""
    port: int = 8000
    """Port to listen on; the servers behind it have free ports on loopback."""
    slots: int = LEAST_SLOTS
    """Servers at most, each with a whole model in memory and a folder of it on disk: v0, the champion, the
    one before it and a candidate are four, and what an experiment on the harness began with is one more."""
    server: Literal["vllm", "embedded"] = "vllm"
    """What is started for a version: a vLLM, or on a laptop the embedded engine."""
    arguments: tuple[str, ...] = ()
    """Added to each server's command line, such as `--max-model-len=8192` or
    `--gpu-memory-utilization=0.2`: several vLLMs on one GPU divide its memory by it."""
    devices: tuple[str, ...] = ()
    """CUDA_VISIBLE_DEVICES of the slots, the first for the first slot and so on, from the beginning again
    where there are fewer. Empty: every server sees what the router sees."""
    folder: str = ""
    """Where versions are written as Hugging Face folders; empty: `served` in the state folder. At most one
    for each slot is kept, and one more while it is written."""
    start_seconds: float = 600.0
    """Longest time from a server's start until it is healthy."""

    def __post_init__(self) -> None:
        if self.slots < LEAST_SLOTS:
            raise ValueError(
                f"router.slots: {self.slots} is below {LEAST_SLOTS}: v0, the champion, the one before it"
                " and a candidate are each on a server of their own"
            )
        for one in self.arguments:
            # vLLM takes `--served_model_name` for the same.
            if one.partition("=")[0].replace("_", "-") in OURS:
                raise ValueError(f"router.arguments: {one}: the router says this itself")
