"""Ingest members: daemons in the ingest role that share a consumer group and a PostgreSQL."""

import contextlib
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx

from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, free_port


def write_config(
    folder: Path, database: str, bootstrap: str, *, session_seconds: float = 4.0
) -> Path:
    """Write a config with topics and a group of its own; the caller makes the topics."""
    name = uuid.uuid4().hex[:8]
    path = folder / "rlwd.toml"
    path.write_text(f"""
database = "{database}"
[learner]
model = "base"
[stream]
kind = "kafka"
generations = "generations-{name}"
feedback = "feedback-{name}"
dead_letters = "deadletter-{name}"
[stream.kafka]
bootstrap_servers = ["{bootstrap}"]
group_id = "group-{name}"
session_timeout_seconds = {session_seconds}
""")
    return path


class Member(Server):
    """One `rlwd run --role ingest`."""

    def __init__(self, config: Path, name: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "rlwd.daemon", "run", "--config", str(config)]
        super().__init__(
            [*command, "--role", "ingest", "--member", name, "--port", str(self.port)],
            name=name,
            log=config.parent / f"{name}.log",
            healthy=lambda: bool(self.ask("readyz").get("ready")),
        )

    def ask(self, page: str) -> dict[str, Any]:
        """Return one of its pages, or nothing while it does not answer."""
        url = f"http://{LOOPBACK}:{self.port}/{page}"
        with contextlib.suppress(httpx.HTTPError):
            answer: dict[str, Any] = httpx.get(
                url, timeout=5.0, trust_env=False, verify=NO_TLS
            ).json()
            return answer
        return {}

    @property
    def series(self) -> set[str]:
        """Names of the series that have a value on its metrics page."""
        url = f"http://{LOOPBACK}:{self.port}/metrics"
        page = httpx.get(url, timeout=5.0, trust_env=False, verify=NO_TLS).text
        return {line.partition("{")[0].split()[0] for line in page.splitlines() if line[:1] != "#"}

    @property
    def partitions(self) -> set[str]:
        """What it reads."""
        return set(self.ask("statusz").get("live", {}).get("partitions", ()))


def are_shared(members: Iterable[Member], partitions: int) -> bool:
    """Return whether the members that live read so many partitions, each some, and none what another does."""
    held = [member.partitions for member in members if member.alive]
    return all(held) and sum(map(len, held)) == len(set().union(*held)) == partitions
