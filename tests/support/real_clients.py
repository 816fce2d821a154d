"""Real clients: each in its environment, asked to talk to a gateway and to say what it saw."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "clients"


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """What a client saw of one answer."""

    text: str
    """What it read."""
    finish: str | None
    """How it ended; None where the client does not tell."""
    usage: list[int] | None
    """Tokens of prompt and completion; None where the client was told none."""
    id: str | None
    """Id of the answer; None where the client shows one of its own."""
    tool: str | None
    """Arguments of the tool that was called."""


@dataclass(frozen=True, kw_only=True)
class RealClient:
    """A client by name: its environment and its script."""

    name: str
    """In test ids."""
    environment: str
    """Which list of packages it needs."""
    script: str
    """Which script speaks through it."""
    door: str = "chat"
    """By which API it asks, where its script knows several."""
    plain: bool = False
    """It can ask for plain completions."""
    node: bool = False
    """It runs in Node."""
    loops: bool = False
    """It can hold a conversation with a tool: `how:loop`."""

    def asks(self) -> list[str]:
        """Return what it is asked to do, each as `how:what`."""
        whats = ["chat", "tool", *(["plain"] if self.plain else [])]
        return [f"{how}:{what}" for what in whats for how in ("whole", "stream")]

    def talk(self, url: str, asks: list[str]) -> list[Transcript]:
        """Return what it saw of each answer; skips where it is not installed."""
        place = client_folder(self.environment)
        if not (place / ("installed.json" if self.node else "installed.txt")).exists():
            pytest.skip(f"{self.name} is not installed: make clients")
        command: list[str | Path] = [
            place / "bin" / "python",
            HERE / f"{self.script}_transcript.py",
        ]
        if self.node:
            # Node looks for packages beside the script, not where it is started.
            script = f"{self.script}_transcript.mjs"
            shutil.copy(HERE / "node" / script, place / script)
            command = ["node", place / script]
        done = subprocess.run(
            [*command, url, *asks],
            capture_output=True,
            text=True,
            timeout=240,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            | {"DOOR": self.door},
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return [Transcript(**json.loads(line)) for line in done.stdout.splitlines()]


def client_folder(environment: str) -> Path:
    """Return where `fetch_clients.sh` installs an environment."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("RLWD_CLIENTS") or home / "rlwd" / "clients") / environment


CLIENTS = (
    RealClient(name="openai-1", environment="openai-1", script="openai", plain=True, loops=True),
    RealClient(name="openai-newest", environment="newest", script="openai", plain=True, loops=True),
    RealClient(name="langchain", environment="newest", script="langchain"),
    RealClient(name="litellm", environment="newest", script="litellm"),
    RealClient(name="openai-node", environment="node", script="openai", node=True),
    RealClient(name="ai-sdk", environment="node", script="aisdk", node=True, loops=True),
    RealClient(name="agents-sdk", environment="newest", script="agents", loops=True),
    RealClient(
        name="agents-responses",
        environment="newest",
        script="agents",
        door="responses",
        loops=True,
    ),
    RealClient(
        name="ai-sdk-responses",
        environment="doors",
        script="aisdk",
        door="responses",
        node=True,
        loops=True,
    ),
)
