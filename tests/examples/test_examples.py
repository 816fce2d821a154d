"""Every example works as it stands: what it did is in the ledger of a real gateway and daemon."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka_server import KafkaServer
from loop_processes import LoopProcesses

from rlwd.daemon.explain.explain import explain
from rlwd.daemon.store import state_view
from rlwd.streams.events.event import FeedbackEvent, GenerationEvent, decode_event
from rlwd.streams.log.kafka_settings import KafkaSettings
from rlwd.streams.log.kafka_source import KafkaSource
from rlwd.streams.log.kafka_topics import create_topics

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CACHE = Path.home() / ".cache" / "rlwd" / "node"


def story(running: LoopProcesses, generation_id: str, kinds: set[str]) -> dict[str, Any]:
    """Return a generation's story once all that was said about it has been taken in."""
    found: dict[str, Any] = {}

    def known() -> bool:
        rows = running.ask(
            "SELECT kind FROM feedback WHERE generation_id = ? AND dead = 0", generation_id
        )
        if {row[0] for row in rows} != kinds:
            return False
        with state_view(running.config.state_database) as view:
            found.update(explain(view, running.config.policy, generation_id))
        return bool(found["served"]["record"])

    running.until(known)
    return found


@pytest.mark.parametrize(
    ("example", "kinds", "reward"),
    [
        ("product.py", {"edited", "accepted"}, None),
        ("langchain_product.py", {"rated"}, 1.0),
        ("product.sh", {"accepted", "kept"}, None),
    ],
)
def test_a_product_is_connected(
    running: LoopProcesses,
    run: Callable[..., list[str]],
    example: str,
    kinds: set[str],
    reward: float | None,
) -> None:
    """The example's answer came from v0, is its person's, and has the reward of what was said."""
    shell = "bash" if example.endswith(".sh") else sys.executable
    generation_id = run(shell, example)[0]
    told = story(running, generation_id, kinds)
    assert told["served"]["version"].startswith("rlwd@v000000-")
    assert told["served"]["segment"] == "reply"
    rows = running.ask("SELECT reward FROM episodes WHERE generation_id = ?", generation_id)
    assert rows[0][0] is not None
    assert reward is None or rows[0][0] == reward


def test_a_product_on_node_is_connected(
    running: LoopProcesses, run: Callable[..., list[str]]
) -> None:
    """The same from Node with OpenAI's package, installed into a cache."""
    generation_id = run("node", "product.mjs", folder=node_folder())[0]
    told = story(running, generation_id, {"copied", "accepted"})
    assert told["served"]["segment"] == "reply"


def node_folder() -> Path:
    """Return a folder with the example and its package, or skip naming what is missing."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here: the example on Node is not run")
    source = EXAMPLES / "node"
    wanted = (source / "package.json").read_bytes()
    folder = CACHE / hashlib.sha256(wanted).hexdigest()[:12]
    if not (folder / ".installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_bytes(wanted)
        installed = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        if installed.returncode != 0:
            pytest.skip(f"npm cannot install the package: {installed.stderr[-300:]}")
        (folder / ".installed").touch()
    shutil.copy(source / "product.mjs", folder)
    return folder


def test_a_producer_writes_the_embedded_log(
    running: LoopProcesses, run: Callable[..., list[str]]
) -> None:
    """What a product writes itself is joined like a gateway's: one answer, accepted."""
    log = str(running.config.log_path)
    generation_id = run(sys.executable, "producer.py", "embedded", log)[0]
    told = story(running, generation_id, {"accepted"})
    assert told["served"]["version"] == "policy@v000000-00000000"


@pytest.mark.kafka
def test_a_producer_writes_kafka(
    kafka_server: KafkaServer, run: Callable[..., list[str]], tmp_path: Path
) -> None:
    """On a real broker the same two records arrive, and both are events."""
    settings = KafkaSettings(bootstrap_servers=(kafka_server.bootstrap,), group_id="example")
    topics = ("rlwd.generations", "rlwd.feedback")
    create_topics(settings, topics)
    generation_id = run(sys.executable, "producer.py", "kafka", kafka_server.bootstrap)[0]
    source = KafkaSource(settings, topics, lambda partitions: dict.fromkeys(partitions, 0))
    seen: list[str] = []
    try:
        for _ in range(300):
            for record in source.poll(0.2, 100):
                event = decode_event(record.value)
                if event.data.generation_id == generation_id:
                    assert isinstance(event, GenerationEvent | FeedbackEvent)
                    seen.append(type(event).__name__)
            if len(seen) == 2:
                break
    finally:
        source.close()
    assert sorted(seen) == ["FeedbackEvent", "GenerationEvent"]
