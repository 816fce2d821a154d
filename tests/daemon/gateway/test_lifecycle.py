"""A log that is away, a kill, a stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from gateway_rig import CHAT, HELLO, GatewayRig, version, wait_for

from rlwd.ops.flags.assignment import hash_user
from rlwd.ops.servers.process import NO_TLS, free_port
from rlwd.streams.events.event import decode_event


def test_requests_are_served_while_the_log_is_away(
    client: httpx.Client, gateway: GatewayRig
) -> None:
    """With the log away answers and 202s go out as ever, and everything arrives once it is back."""
    gateway.sink.away = True
    ids = [client.post(CHAT, json=HELLO).json()["id"] for _ in range(5)]
    post = {"feedback_id": "f", "generation_id": ids[0], "signal": {"kind": "accepted"}}
    assert client.post("/v1/feedback", json=post).status_code == 202
    assert gateway.sink.flushed == []
    gateway.sink.away = False
    assert [g.generation_id for g in gateway.sink.generations(6)] == ids
    assert len(gateway.sink.feedback(6)) == 1


def test_an_answer_cut_by_a_crash_is_a_generation_without_capture(gateway: GatewayRig) -> None:
    """After a SIGKILL in mid-stream the next life sends the admission as not captured."""
    gateway.set_flags()
    gateway.engine.pause = 0.5
    code = (
        "import sys, msgspec\n"
        "from rlwd.daemon.gateway.settings import GatewaySettings\n"
        "from rlwd.daemon.parent.gateway_process import run_gateway\n"
        "class Away:\n"
        "    def __init__(self): raise ConnectionError('away')\n"
        "run_gateway(msgspec.json.decode(sys.argv[1], type=GatewaySettings), Away)\n"
    )
    port = free_port()
    settings = msgspec.json.encode(msgspec.structs.replace(gateway.settings, port=port)).decode()
    child = subprocess.Popen([sys.executable, "-c", code, settings])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, verify=NO_TLS) as client:
            wait_for(lambda: client.get("/readyz").status_code == 200)
            body = {**HELLO, "user": "alice", "stream": True}
            with client.stream("POST", CHAT, json=body) as response:
                lines = response.iter_lines()  # kept: a dropped one would close
                first = json.loads(next(lines)[6:])
                child.kill()
    finally:
        child.kill()
        child.wait()
    gateway.open()
    (event,) = gateway.sink.generations(1)
    assert event.generation_id == first["id"]
    assert not event.captured
    assert event.version == version(2).version
    assert event.user_hash == hash_user("alice", b"key")


def test_sigterm_ends_in_order(gateway: GatewayRig, tmp_path: Path) -> None:
    """On SIGTERM the process forwards what it has and ends with 0."""
    gateway.set_flags()
    code = (
        "import sys, msgspec\n"
        "from pathlib import Path\n"
        "from rlwd.streams.log.embedded_log import EmbeddedSink\n"
        "from rlwd.daemon.gateway.settings import GatewaySettings\n"
        "from rlwd.daemon.parent.gateway_process import run_gateway\n"
        "run_gateway(msgspec.json.decode(sys.argv[1], type=GatewaySettings),"
        " lambda: EmbeddedSink(Path(sys.argv[2])))\n"
    )
    from rlwd.streams.log.embedded_log import EmbeddedSource

    port = free_port()
    settings = msgspec.json.encode(msgspec.structs.replace(gateway.settings, port=port)).decode()
    log = tmp_path / "log.db"
    child = subprocess.Popen([sys.executable, "-c", code, settings, str(log)])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, verify=NO_TLS) as client:
            wait_for(lambda: client.get("/readyz").status_code == 200)
            generation = client.post(CHAT, json=HELLO).json()["id"]
        child.terminate()
        assert child.wait(300) == 0
    finally:
        child.kill()
        child.wait()
    source = EmbeddedSource(log, ["rlwd.generations"], resume=lambda _: {})
    records = source.poll(0.0, 10)
    source.close()
    assert [decode_event(r.value).id for r in records] == [generation]


class Stopping:
    """A gateway's process with an answer under way, and a supervisor that hears what it says."""

    def __init__(self, gateway: GatewayRig, folder: Path, **changes: Any) -> None:
        gateway.set_flags()
        self.port, self.answer = free_port(), list[str]()
        self.supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.supervisor.bind(str(folder / "notify"))
        self.supervisor.settimeout(60)
        code = (
            "import signal, sys, msgspec\n"
            "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # Where the tests run under nohup.
            "from rlwd.daemon.gateway.settings import GatewaySettings\n"
            "from rlwd.daemon.parent.gateway_process import run_gateway\n"
            "class Away:\n"
            "    def __init__(self): raise ConnectionError('away')\n"
            "run_gateway(msgspec.json.decode(sys.argv[1], type=GatewaySettings), Away)\n"
        )
        settings = msgspec.structs.replace(gateway.settings, port=self.port, **changes)
        self.child = subprocess.Popen(
            [sys.executable, "-c", code, msgspec.json.encode(settings).decode()],
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.hear("READY=1")
        self.asking = threading.Thread(target=self.ask)
        self.asking.start()
        wait_for(lambda: bool(gateway.engine.asked))

    def ask(self) -> None:
        url = f"http://127.0.0.1:{self.port}{CHAT}"
        try:
            answer = httpx.post(url, json=HELLO, timeout=60, trust_env=False, verify=NO_TLS)
            self.answer.append(str(answer.status_code))
        except httpx.TransportError as problem:
            self.answer.append(type(problem).__name__)

    def hear(self, wanted: str) -> str:
        """Return the next message that holds this."""
        while wanted not in (message := self.supervisor.recv(4096).decode()):
            pass
        return message

    def end(self) -> str:
        """Wait for its end, which is in order; return what the client got."""
        self.asking.join(60)
        assert self.child.wait(300) == 0
        return self.answer[0]

    def close(self) -> None:
        self.child.kill()
        self.child.communicate()
        self.supervisor.close()


def test_an_answer_under_way_is_not_cut(gateway: GatewayRig, tmp_path: Path) -> None:
    """It ends after the signal, whole, and the supervisor is told to wait for as long as may be.

    The signal is a closing terminal's, which comes twice; SIGTERM is tried with several workers.
    """
    gateway.engine.pause = 1.0
    stopping = Stopping(gateway, tmp_path, stop_seconds=600.0)
    try:
        stopping.child.send_signal(signal.SIGHUP)
        told = stopping.hear("STOPPING=1")
        stopping.child.send_signal(signal.SIGHUP)
        assert int(told.partition("EXTEND_TIMEOUT_USEC=")[2]) > 600 * 1_000_000
        assert stopping.end() == "200"
    finally:
        stopping.close()


def test_a_log_that_takes_no_lines_stops_nothing(gateway: GatewayRig, tmp_path: Path) -> None:
    """On a full disk what would be logged is left out: who asks is answered, and records reach the log."""
    gateway.set_flags()
    code = (
        "import sys, msgspec\n"
        "from pathlib import Path\n"
        "from rlwd.streams.log.embedded_log import EmbeddedSink\n"
        "from rlwd.streams.logs import log_to_stderr\n"
        "from rlwd.daemon.gateway.settings import GatewaySettings\n"
        "from rlwd.daemon.parent.gateway_process import run_gateway\n"
        "log_to_stderr('gateway')\n"
        "left = ['away']\n"
        "def sink():\n"
        "    if left: raise ConnectionError(left.pop())\n"
        "    return EmbeddedSink(Path(sys.argv[2]))\n"
        "run_gateway(msgspec.json.decode(sys.argv[1], type=GatewaySettings), sink)\n"
    )
    settings = msgspec.structs.replace(gateway.settings, port=(port := free_port()))
    log = tmp_path / "log.db"
    arguments = [sys.executable, "-c", code, msgspec.json.encode(settings).decode(), str(log)]
    with open("/dev/full", "w") as full:
        child = subprocess.Popen(arguments, stderr=full)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, verify=NO_TLS) as client:
            wait_for(lambda: client.get("/readyz").status_code == 200)
            gateway.engine.wrong.status = 500
            assert client.post(CHAT, json=HELLO).status_code == 500
            gateway.engine.wrong.status = 200
            assert client.post(CHAT, json=HELLO).status_code == 200
            # The thread that carries them logged that the log was away.
            wait_for(lambda: "rlwd_gateway_forwarded_total 2.0" in client.get("/metrics").text)
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(("stop_seconds", "signals"), [(0.1, 1), (600.0, 2)])
def test_an_answer_is_cut_where_that_is_said(
    gateway: GatewayRig, tmp_path: Path, stop_seconds: float, signals: int
) -> None:
    """After `stop_seconds`, or at once by a second signal; the log says how many."""
    gateway.engine.pause = 60.0
    stopping = Stopping(gateway, tmp_path, stop_seconds=stop_seconds)
    try:
        heard = ""
        for _ in range(signals):
            stopping.child.terminate()
            if stop_seconds > 1.0 and not heard:
                heard = stopping.hear("STOPPING=1")
        assert stopping.end() != "200"
        assert stopping.child.stdout is not None
        said = stopping.child.stdout.read()
        assert "answers_cut" in said, said
    finally:
        stopping.close()
