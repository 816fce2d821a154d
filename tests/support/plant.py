"""Plant: a loop whose units are a test's own processes, for what docs/runbook.md says to type."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson
from loop_processes import LoopProcesses
from runbook_steps import RunbookSteps
from waiting import until

from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, free_port

KEYS = ("http-token", "flags-key", "user-key")
IN_FILES = {
    "gateway": 'user_key = "file:user-key"\nflags_url = "http://{host}:{http}/flags"\nflags_key = "file:flags-key"',
    "http": 'token = "file:http-token"\nflags_key = "file:flags-key"',
}
"""Lines of sections, by section: all keys in files, flags over the network."""
INGEST = "rlwd-ingest-two"


class Plant(LoopProcesses):
    """Daemon, gateways and engines that are started and stopped as units are, and people who use them."""

    def __init__(
        self,
        folder: Path,
        model: Path,
        engine: EmbeddedServer,
        kafka: str,
        lines: Mapping[str, str] = IN_FILES,
    ) -> None:
        """`lines` go to the head of their sections."""
        policy = f"plant-{uuid.uuid4().hex[:8]}"
        super().__init__(folder, model, policy=policy, engine=engine, kafka=kafka, mlflow="")
        text = self.path.read_text()
        for section, said in lines.items():
            said = said.format(host=LOOPBACK, http=self.http_port)
            text = text.replace(f"[{section}]\n", f"[{section}]\n{said}\n")
        self.path.write_text(text)
        for name in KEYS:
            (folder / name).write_text(uuid.uuid4().hex)
        self.ports = {"8080": self.gateway_port, "8081": free_port()}
        self.ingest_port = free_port()
        self.gateways = {
            name: self._server("gateway", port, "--port", str(port))
            for name, port in self.ports.items()
        }
        self.gateway = self.gateways["8080"]
        self.another = EmbeddedServer(model, folder / "another")
        self.ingest: Server | None = None
        for name in ("backups", "units"):
            (folder / name).mkdir()
        self.steps = RunbookSteps(self.path, self._unit, self._replaced())
        self.asked, self.token = 0, ""
        """`token` is the one that people's product shows the gateways."""

    @property
    def topics(self) -> list[str]:
        """The topics that its config names."""
        stream = self.config.stream
        return [stream.generations, stream.feedback, stream.dead_letters]

    def _replaced(self) -> dict[str, str]:
        more = f's#"{self.engine.url}"#"{self.engine.url}", "{self.another.url}"#'
        return {
            "editor /etc/rlwd/rlwd.toml": f"sed -i '{more}' {self.path}",
            "sh ops/deploy/install.sh": "true",
            "install -d -o rlwd -g rlwd -m 700": "mkdir -p",
            "install -m 640 -g rlwd /dev/null": "install -m 640 /dev/null",
            "/usr/local/lib/systemd/system": str(Path(__file__).parents[2] / "ops" / "deploy"),
            "/etc/systemd/system": str(self.folder / "units"),
            "/etc/rlwd/secrets": str(self.folder),
            "/etc/rlwd": str(self.folder),
            "/var/lib/rlwd": str(self.config.state_path),
            "/var/backups": str(self.folder / "backups"),
            "8090": str(self.http_port),
            "8091": str(self.ingest_port),
            "rlwd.deadletter": self.config.stream.dead_letters,
            **{name: str(port) for name, port in self.ports.items()},
        }

    def _unit(self, action: str, unit: str) -> None:
        ports = {str(port): name for name, port in self.ports.items()}
        port = unit.partition("@")[2]
        if unit == INGEST and self.ingest is None:
            self.ingest = self._of_unit(self.folder / "units" / f"{unit}.service")
        server = self.ingest if unit == INGEST else self.daemon
        if port:
            server = self.gateways[ports[port]]
        assert server is not None
        if action in ("stop", "restart"):
            server.stop()
        if action in ("start", "restart", "enable"):
            server.start()

    def _of_unit(self, unit: Path) -> Server:
        """Make the process that a unit's file starts."""
        (line,) = [each for each in unit.read_text().splitlines() if each.startswith("ExecStart=")]
        program, command, *words = line.partition("=")[2].split()
        assert program.endswith("/rlwd"), line
        given = words[: words.index("--config")]
        return self._server(command, self.ingest_port, *given)

    def stop(self) -> None:
        """Stop all that may run."""
        ingest = () if self.ingest is None else (self.ingest,)
        for server in (*self.gateways.values(), *ingest, self.daemon, self.another):
            server.stop()

    def ask_for(self, which: str = "8080", user: str = "") -> httpx.Response:
        """Let somebody ask; return what came."""
        body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
        name = f"{uuid.uuid4().hex[:8]}"
        who = {"X-Rlwd-User": user or f"user-{name}", "X-Rlwd-Session": f"s-{name}"}
        who |= {"X-Rlwd-Consent": "true", **self._shown()}
        url = f"{self.url(which)}/v1/chat/completions"
        return httpx.post(url, json=body, headers=who, timeout=60, trust_env=False, verify=NO_TLS)

    def answer(self, which: str = "8080", user: str = "") -> dict[str, Any]:
        """Let somebody ask; return the answer, which has to come."""
        self.asked += 1
        answer = self.ask_for(which, user)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def judge(self, answer: dict[str, Any]) -> int:
        """Let somebody accept an answer; return the status."""
        said = {
            "feedback_id": uuid.uuid4().hex,
            "generation_id": answer["id"],
            "signal": {"kind": "accepted"},
        }
        url = f"{self.url('8080')}/v1/feedback"
        return httpx.post(
            url, json=said, headers=self._shown(), timeout=60, trust_env=False, verify=NO_TLS
        ).status_code

    def _shown(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def url(self, which: str) -> str:
        """Where a gateway is."""
        return f"http://{LOOPBACK}:{self.ports[which]}"

    def key(self, name: str) -> str:
        """What a key is now."""
        return (self.folder / name).read_text().strip()

    def page(self, token: str) -> int:
        """Return what the daemon's pages say to who shows a token."""
        shown = {"Authorization": f"Bearer {token}"}
        url = f"http://{LOOPBACK}:{self.http_port}/statusz"
        return httpx.get(url, headers=shown, timeout=30, trust_env=False, verify=NO_TLS).status_code

    def follows(self) -> None:
        """Wait until every gateway that runs acts on the daemon's newest flags."""

        def acted_on() -> set[int]:
            running = [name for name, each in self.gateways.items() if each.alive]
            pages = (
                httpx.get(f"{self.url(name)}/readyz", trust_env=False, verify=NO_TLS)
                for name in running
            )
            return {int(orjson.loads(page.content)["flag_generation"] or 0) for page in pages}

        def newest() -> bool:
            flags = read_flags(self.config.flags_path)
            return flags is not None and acted_on() == {flags.generation}

        until(newest, told=lambda: f"{acted_on()} {read_flags(self.config.flags_path)}")

    def all_known(self) -> None:
        """Wait until the state has every answer that anybody got, once, and the books close."""
        until(lambda: self.status()["generations"] == self.asked, told=lambda: str(self.status()))
        assert sum(self.status()["fates"].values()) == self.asked
        self.steps.type("rlwd audit")
