"""Daemon and gateway run without torch: it is the learner's and the engine's alone (CONTRACTS 25)."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "vllm", "mlflow")


@pytest.mark.parametrize(
    "room", ["wire", "loop", "gateway", "cli", "status_page", "doctor", "demo", "replay"]
)
def test_the_room_does_not_load_torch(room: str) -> None:
    """Importing it in a fresh process leaves torch and its kin unloaded."""
    code = f"import sys, rlwd.daemon.{room}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
