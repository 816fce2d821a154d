"""Gateway workers: `rlwd gateway --workers` from outside: real clients, a kill, a stop, fewer workers.

One story on a fake engine, because each gateway takes seconds to start; the log is away in its first
life, so that what the spools hold is all there is.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from closing_terminal import ClosingTerminal
from gateway_rig import CHAT, HELLO, GatewayRig, LoopThread
from waiting import until

from rlwd.daemon.config import load_config
from rlwd.daemon.http.credentials import hash_token
from rlwd.daemon.spool.lost import read_lost
from rlwd.daemon.spool.spool import Spool
from rlwd.ops.flags.gateway_report import read_reports
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, free_port
from rlwd.streams.events.event import decode_event
from rlwd.streams.log.embedded_log import EmbeddedSource

OPERATOR, CAP = {"Authorization": "Bearer operator"}, 7
CONFIG = """
policy = "policy"
state = "state"
{stream}
[learner]
model = "base"
[gateway]
port = {port}
engines = ["{engine}"]
token = "operator"
user_key = "key"
max_connections = 24
stop_seconds = 60.0
{more}
[clients.one]
tokens = ["{hash}"]
requests_per_day = {cap}
"""
AWAY = '[stream]\nkind = "kafka"\n[stream.kafka]\nbootstrap_servers = ["{host}:{port}"]\nconnect_seconds = 0.2\n'


@dataclass(slots=True, kw_only=True)
class Talk:
    """Clients that ask on and on, each request by a connection of its own."""

    url: str
    """Where."""
    answered: list[str] = field(default_factory=list)
    """Ids of whole answers."""
    broken: list[str] = field(default_factory=list)
    """What became of requests that had none."""
    ends: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        while not self.ends.is_set():
            try:
                answer = httpx.post(
                    self.url + CHAT,
                    json=HELLO,
                    headers=OPERATOR,
                    timeout=60,
                    trust_env=False,
                    verify=NO_TLS,
                )
            except httpx.TransportError as problem:
                self.broken.append(type(problem).__name__)
                continue
            assert answer.status_code == 200, answer.text
            self.answered.append(answer.json()["id"])

    @contextmanager
    def going_on(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.ask) for _ in range(3)]
        for one in threads:
            one.start()
        try:
            yield
        finally:
            self.ends.set()
            for one in threads:
                one.join(60)


class Gateway:
    """One life of `rlwd gateway --workers N`."""

    def __init__(
        self,
        folder: Path,
        port: int,
        workers: int,
        log: Path,
        terminal: ClosingTerminal | None = None,
    ) -> None:
        self.url, self.log = f"http://{LOOPBACK}:{port}", log
        command = ["-m", "rlwd.daemon", "gateway", "--workers", str(workers)]
        with log.open("w") as out:
            self.process: subprocess.Popen[bytes] = (
                subprocess.Popen([sys.executable, *command], cwd=folder, stderr=out)
                if terminal is None
                else terminal.run(command, folder)
            )

    def get(self, path: str) -> httpx.Response:
        return httpx.get(
            self.url + path, headers=OPERATOR, timeout=60, trust_env=False, verify=NO_TLS
        )

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def number(self, name: str) -> dict[str, float]:
        """Return a series by worker, the sum over its other labels."""
        found: dict[str, float] = {}
        for line in self.get("/metrics").text.splitlines():
            if match := re.fullmatch(rf'{name}\{{.*worker="(\d+)".*\}} (\S+)', line):
                found[match[1]] = found.get(match[1], 0.0) + float(match[2])
        return found

    def pid(self, worker: int) -> int:
        """Return a worker's process, as its metrics do not tell; the kernel does."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return sorted(map(int, children.split()))[worker - 1]

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(120) == 0, self.log.read_text()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[GatewayRig]:
    loop = LoopThread()
    try:
        with ExitStack() as stack:
            made = GatewayRig(tmp_path, loop, stack)
            (tmp_path / "state").mkdir()
            made.flags = tmp_path / "state" / "flags.json"
            made.set_flags()
            yield made
    finally:
        loop.close()


def write(rig: GatewayRig, port: int, stream: str, more: str = "") -> None:
    text = CONFIG.format(
        stream=stream, port=port, engine=rig.engine.url, hash=hash_token("one"), cap=CAP, more=more
    )
    (rig.folder / "rlwd.toml").write_text(text)


def let_of(url: str) -> int:
    """Ask as a client with a cap, by ever new connections, until it is used up; return how often."""
    for let in range(CAP + 3):
        answer = httpx.post(
            url + CHAT,
            json=HELLO,
            headers={"Authorization": "Bearer one"},
            timeout=60,
            trust_env=False,
            verify=NO_TLS,
        )
        if answer.status_code == 429:
            return let
    return CAP + 3


def open_until_refused(port: int) -> int:
    """Return how many connections are held at once."""
    with ExitStack() as stack:
        for held in range(40):
            one = stack.enter_context(socket.create_connection((LOOPBACK, port), timeout=60))
            one.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                if not one.recv(4096).startswith(b"HTTP/1.1 200"):
                    return held
            except ConnectionError:
                return held
    return 40


@pytest.mark.timeout(900)
def test_several_workers_are_one_gateway_and_lose_nothing(rig: GatewayRig) -> None:
    """Three share a port, limits and pages; one is killed, all are stopped, and two go on for three."""
    port = free_port()
    write(rig, port, AWAY.format(host=LOOPBACK, port=free_port()))
    first = Gateway(rig.folder, port, 3, rig.folder / "first.log")
    try:
        talk = Talk(url=first.url)
        until(first.ready, 300.0, pause=0.2)
        until(lambda: reporting(rig.flags) == {"gateway-w1", "gateway-w2", "gateway-w3"})
        with talk.going_on():
            until(lambda: len(first.number("rlwd_gateway_generations_total")) == 3, 120.0)
            os.kill(first.pid(2), signal.SIGKILL)
            until(
                lambda: sum(first.number("rlwd_gateway_worker_starts_total").values()) == 4, 120.0
            )
            until(first.ready, 120.0)
            asked = len(talk.answered)
            until(lambda: len(talk.answered) > asked + 10, 120.0)
        # A connection that the killed one had may break; none was refused, for the port stayed open.
        assert "ConnectError" not in talk.broken
        assert len(talk.broken) <= 3
        assert sum(first.number("rlwd_gateway_spool_unsent").values()) >= len(talk.answered)
        assert let_of(first.url) == CAP
        # The one that asks for it is open beside those of the story, which are closed by now.
        until(lambda: open_until_refused(port) == 24)
        rig.engine.pause = 1.0
        slow = Talk(url=first.url)
        asking = threading.Thread(target=slow.ask)
        before = len(rig.engine.asked)
        asking.start()
        until(lambda: len(rig.engine.asked) > before)
        slow.ends.set()
        first.stop()
        asking.join(60)
        assert len(slow.answered) == 1, slow.broken
        rig.engine.pause = 0.0
        assert not list(read_reports(rig.flags))
    finally:
        first.process.kill()
        first.process.wait()
    write(rig, port, "")
    second = Gateway(rig.folder, port, 2, rig.folder / "second.log")
    try:
        until(second.ready, 300.0, pause=0.2)
        log = rig.folder / "state" / "log.db"
        until(lambda: set(talk.answered + slow.answered) <= set(delivered(log)), 120.0)
        assert set(second.number("rlwd_gateway_worker_starts_total")) == {"1", "2"}
        second.stop()
    finally:
        second.process.kill()
        second.process.wait()
    found = delivered(log)
    assert len(found) == len(set(found))
    assert not sum(read_lost(one).total() for one in load_config(rig.folder / "rlwd.toml").spools)


@pytest.mark.timeout(900)
def test_one_that_hangs_is_replaced_and_a_closed_terminal_ends_all_in_order(
    rig: GatewayRig,
) -> None:
    """The other answers meanwhile; at the end the answer under way is whole, and each has its record."""
    port, terminal = free_port(), ClosingTerminal()
    write(rig, port, AWAY.format(host=LOOPBACK, port=free_port()), "hang_seconds = 10.0")
    gateway = Gateway(rig.folder, port, 2, rig.folder / "nothing.log", terminal)
    try:
        until(gateway.ready, 300.0, pause=0.2)
        hung = gateway.pid(2)
        os.kill(hung, signal.SIGSTOP)
        assert gateway.get("/readyz").json()["reasons"] == ["worker gateway-w2: does not answer"]
        talk = Talk(url=gateway.url)
        with talk.going_on():
            until(lambda: len(talk.answered) > 3, 120.0)
            until(lambda: gateway.number("rlwd_gateway_worker_starts_total").get("2") == 2, 120.0)
            until(gateway.ready, 120.0)
        assert gateway.pid(2) != hung
        assert "worker_hangs" in terminal.shown
        assert not talk.broken
        rig.engine.pause = 1.0
        slow = Talk(url=gateway.url)
        asking, before = threading.Thread(target=slow.ask), len(rig.engine.asked)
        asking.start()
        until(lambda: len(rig.engine.asked) > before)
        slow.ends.set()
        terminal.close()
        os.kill(gateway.process.pid, signal.SIGHUP)  # The shell's own.
        asking.join(60)
        assert len(slow.answered) == 1, slow.broken
        gateway.process.wait(120)
    finally:
        terminal.close()
        gateway.process.kill()
        gateway.process.wait()
    spools = [Spool(one, 1 << 20) for one in load_config(rig.folder / "rlwd.toml").spools]
    kept = {entry.id for one in spools for entry in one.read(100_000)}
    for one in spools:
        one.close()
    assert kept == {*talk.answered, *slow.answered}


def reporting(flags: Path) -> set[str]:
    """Return the names of those that say on which flags they act."""
    return {one.gateway.partition("@")[0] for one in read_reports(flags)}


def delivered(log: Path) -> list[str]:
    """Return the ids of all generations on the embedded log."""
    source = EmbeddedSource(log, ["rlwd.generations"], resume=lambda _: {})
    found: list[str] = []
    while records := source.poll(0.0, 500):
        found += [decode_event(one.value).id for one in records]
    source.close()
    return found


@pytest.mark.parametrize("workers", [0, 65])
def test_a_number_of_workers_that_cannot_be_is_refused_by_its_key(
    tmp_path: Path, workers: int
) -> None:
    """On the command line as in the file."""
    config = tmp_path / "rlwd.toml"
    config.write_text('[learner]\nmodel = "base"\n')
    with pytest.raises(ValueError, match=r"gateway\.workers"):
        load_config(config).gateway_as(None, workers)
    config.write_text(f'[learner]\nmodel = "base"\n[gateway]\nworkers = {workers}\n')
    with pytest.raises(ValueError, match=r"gateway\.workers"):
        load_config(config)


def test_each_worker_has_a_part_of_what_is_not_counted_together(tmp_path: Path) -> None:
    """The spool's bytes and the mirrored requests add up to the gateway's; too little is refused."""
    config = tmp_path / "rlwd.toml"
    text = '[learner]\nmodel = "base"\n[gateway]\nworkers = 3\n'
    config.write_text(text + "shadow_concurrency = 4\nspool_max_bytes = 300000\n")
    gateway = load_config(config).gateway
    parts = [gateway.of_worker(number) for number in (1, 2, 3)]
    assert [one.shadow_concurrency for one in parts] == [2, 1, 1]
    assert [one.spool_max_bytes for one in parts] == [100_000] * 3
    assert [Path(one.spool).name for one in parts] == ["spool", "spool-w2", "spool-w3"]
    assert [one.name for one in parts] == ["gateway-w1", "gateway-w2", "gateway-w3"]
    config.write_text(text + "spool_max_bytes = 100000\n")
    with pytest.raises(ValueError, match=r"gateway\.spool_max_bytes: .*each of gateway\.workers"):
        load_config(config)
