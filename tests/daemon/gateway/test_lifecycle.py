"""A log that is away, a kill, a stop."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import msgspec
from gateway_rig import CHAT, HELLO, GatewayRig, version, wait_for

from rlwd.ops.flags.assignment import hash_user
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
        "from rlwd.daemon.gateway.app import GatewaySettings, run_gateway\n"
        "class Away:\n"
        "    def __init__(self): raise ConnectionError('away')\n"
        "run_gateway(msgspec.json.decode(sys.argv[1], type=GatewaySettings), Away)\n"
    )
    from rlwd.ops.servers.process import free_port

    port = free_port()
    settings = msgspec.json.encode(msgspec.structs.replace(gateway.settings, port=port)).decode()
    child = subprocess.Popen([sys.executable, "-c", code, settings])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
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
        "from rlwd.daemon.gateway.app import GatewaySettings, run_gateway\n"
        "run_gateway(msgspec.json.decode(sys.argv[1], type=GatewaySettings),"
        " lambda: EmbeddedSink(Path(sys.argv[2])))\n"
    )
    from rlwd.ops.servers.process import free_port
    from rlwd.streams.log.embedded_log import EmbeddedSource

    port = free_port()
    settings = msgspec.json.encode(msgspec.structs.replace(gateway.settings, port=port)).decode()
    log = tmp_path / "log.db"
    child = subprocess.Popen([sys.executable, "-c", code, settings, str(log)])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            wait_for(lambda: client.get("/readyz").status_code == 200)
            generation = client.post(CHAT, json=HELLO).json()["id"]
        child.terminate()
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
    source = EmbeddedSource(log, ["rlwd.generations"], resume=lambda _: {})
    records = source.poll(0.0, 10)
    source.close()
    assert [decode_event(r.value).id for r in records] == [generation]
