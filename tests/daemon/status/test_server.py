"""The daemon's pages, over real HTTP."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest
from aiohttp import web
from waiting import until

from rlwd.daemon.http.access import Access
from rlwd.daemon.http.connections import ConnectionLimits, LimitedRunner
from rlwd.daemon.status.answer_metrics import intake_values
from rlwd.daemon.status.metrics import Metrics
from rlwd.daemon.status.server import MOST_CONNECTIONS, STUCK_SECONDS, StatusServer, Vitals
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, free_port
from rlwd.streams.join.offsets import Counts

Serve = Callable[..., tuple[httpx.Client, Vitals, Metrics]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start health pages, and leave none behind."""
    servers: list[StatusServer] = []
    clients: list[httpx.Client] = []

    def serve(token: str = "") -> tuple[httpx.Client, Vitals, Metrics]:
        vitals, metrics, port = Vitals(), Metrics(), free_port()
        status: Callable[[], dict[str, Any]] = lambda: {"fates": {"trained": 3}}
        server = StatusServer(
            vitals, metrics.registry, status, host=LOOPBACK, port=port, access=Access(token)
        )
        server.start()
        servers.append(server)
        clients.append(
            httpx.Client(base_url=f"http://{LOOPBACK}:{port}", trust_env=False, verify=NO_TLS)
        )
        return clients[-1], vitals, metrics

    yield serve
    for client in clients:
        client.close()
    for server in servers:
        server.stop()


def test_alive_while_the_loop_turns(serve: Serve) -> None:
    """The loop that turned lately is alive; one that hangs for a minute is not."""
    client, vitals, _ = serve()
    assert client.get("/livez").status_code == 200
    vitals.ticked_at = time.monotonic() - STUCK_SECONDS - 1.0
    answer = client.get("/livez")
    assert answer.status_code == 503
    assert answer.json()["alive"] is False
    assert answer.json()["last_tick_seconds"] > STUCK_SECONDS


def test_ready_once_no_dependency_has_a_problem(serve: Serve) -> None:
    """Each dependency may hold readiness up, says why, and lets go again."""
    client, vitals, _ = serve()
    vitals.report("engine", "away")
    vitals.report("learner", "starting")
    vitals.report("learner", None)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        503,
        {"ready": False, "problems": {"engine": "away"}},
    )
    vitals.report("engine", None)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "problems": {}})


def test_metrics_are_prometheus(serve: Serve) -> None:
    """Counters add up, gauges forget what is gone, and a version stands on one series alone."""
    client, _, metrics = serve()
    metrics.show(intake_values(Counts(accepted=2, duplicate=1, dead_lettered=1), 2, {}, 0.0))
    metrics.show(
        intake_values(Counts(accepted=7, duplicate=1, dead_lettered=1), 3, {"burst": (5, 4)}, 9.0)
    )
    for number, fate in enumerate(("waiting", "trained")):
        metrics.show({"rlwd_generations": {fate: 4}})
        metrics.show({"rlwd_champion_info": {f"policy@v00000{number}-0": 1}})
    metrics.turned({"engine": "away", "learner": None})
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    for line in (
        'rlwd_weighed_total{direction="up",factor="burst"} 1.0',
        'rlwd_weighed_total{direction="down",factor="burst"} 4.0',
        "rlwd_watermark_timestamp_seconds 9.0",
        'rlwd_records_total{outcome="accepted"} 7.0',
        'rlwd_records_total{outcome="duplicate"} 1.0',
        'rlwd_records_total{outcome="dead_lettered"} 1.0',
        "rlwd_late_feedback_total 3.0",
        'rlwd_generations{fate="trained"} 4.0',
        'rlwd_problem{name="engine"} 1.0',
        'rlwd_problem{name="learner"} 0.0',
        'rlwd_champion_info{version="policy@v000001-0"} 1.0',
    ):
        assert line in lines
    assert sum("policy@v" in line for line in lines) == 1
    assert not any('fate="waiting"' in line for line in lines)


def test_status_is_what_is_stored_and_what_is_live(serve: Serve) -> None:
    """The page joins the database's document with the facts of the moment, and the problems by name."""
    client, vitals, _ = serve()
    vitals.live = {"learner": "asking"}
    vitals.report("mismatch", "learner and engine disagree")
    assert client.get("/statusz").json() == {
        "fates": {"trained": 3},
        "live": {"learner": "asking"},
        "problems": {"mismatch": "learner and engine disagree"},
    }


def test_a_token_guards_what_tells_something(serve: Serve) -> None:
    """Metrics and status ask for the token where one is set; probes do not."""
    client, _, _ = serve("secret")
    paths = ("/livez", "/readyz", "/metrics", "/statusz")
    wrong = {"Authorization": "Bearer wrong"}
    assert [client.get(path).status_code for path in paths] == [200, 200, 401, 401]
    assert [client.get(path, headers=wrong).status_code for path in paths] == [200, 200, 401, 401]
    right = {"Authorization": "Bearer secret"}
    assert [client.get(path, headers=right).status_code for path in paths] == [200] * 4
    for header in ("bearer secret", "BEARER  secret"):
        assert client.get("/statusz", headers={"Authorization": header}).status_code == 200
    for wrong_one in (
        b"secret",
        b"Basic secret",
        b"Bearer \xff\xfe",
        b"Basic \xff",
        b"Bearer",
        b"",
    ):
        answer = client.get("/statusz", headers=[(b"Authorization", wrong_one)])
        assert answer.status_code == 401, wrong_one


def test_a_browser_gets_in_with_the_token(serve: Serve) -> None:
    """It asks for a user and a password: any user, and the token."""
    client, _, _ = serve("secret")
    asked = client.get("/")
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    assert client.get("/statusz", auth=("anybody", "secret")).status_code == 200
    assert client.get("/statusz", auth=("secret", "wrong")).status_code == 401


def test_places_are_for_those_who_have_the_token(serve: Serve) -> None:
    """Anybody may see that a dependency is away, and not where it is."""
    client, vitals, _ = serve("secret")
    vitals.report("engine", "http://10.0.0.7:8000 is away")
    told = client.get("/readyz")
    assert told.status_code == 503
    assert list(told.json()["problems"]) == ["engine"]
    assert "10.0.0.7" not in told.text
    right = client.get("/readyz", headers={"Authorization": "Bearer secret"})
    assert right.json()["problems"] == {"engine": "http://10.0.0.7:8000 is away"}


def test_a_port_that_is_taken_is_an_error_at_start() -> None:
    """Two daemons on one port: the second one says so instead of running without pages."""
    port = free_port()

    def server() -> StatusServer:
        return StatusServer(Vitals(), Metrics().registry, dict, host=LOOPBACK, port=port)

    first, second = server(), server()
    first.start()
    try:
        with pytest.raises(OSError, match=str(port)):
            second.start()
    finally:
        first.stop()
        second.stop()


def test_a_port_that_is_none_is_an_error_at_start() -> None:
    """A daemon without its pages does not run on in silence."""
    server = StatusServer(Vitals(), Metrics().registry, dict, host=LOOPBACK, port=99999)
    with pytest.raises(OSError, match="port"):
        server.start()


def connect(client: httpx.Client) -> socket.socket:
    """Open a connection that says nothing yet."""
    return socket.create_connection((client.base_url.host, client.base_url.port or 80), 5.0)


def test_a_malformed_request_is_no_error_and_logged_without_its_bytes(
    serve: Serve, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It may hold the token; neither our log nor the library's repeats it."""
    client, _, _ = serve(token="tok-3f2a")
    with connect(client) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nAuthorization Bearer tok-3f2a\r\n\r\n")
        assert b" 400 " in connection.recv(4096)
    told = capfd.readouterr()
    assert "tok-3f2a" not in told.err + told.out + caplog.text
    assert not caplog.records


def test_connections_are_limited(serve: Serve) -> None:
    """A crowd of silent connections ends where the limit is; the pages answer once it is gone."""
    client, _, _ = serve()
    with ExitStack() as silent:
        for _ in range(MOST_CONNECTIONS):
            silent.enter_context(connect(client))
        one_more = silent.enter_context(connect(client))
        with suppress(ConnectionResetError):
            assert one_more.recv(1) == b""
    until(lambda: answers_alive(client))


def answers_alive(client: httpx.Client) -> bool:
    """Whether the pages answer now."""
    try:
        return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


def test_a_client_that_comes_while_the_server_ends_is_closed() -> None:
    """A connection that was accepted before the end and is made after it is left to nobody else."""

    async def served() -> bytes:
        runner = LimitedRunner(web.Application(), ConnectionLimits(8, 30.0), idle_seconds=30.0)
        await runner.setup()
        loop, connection = asyncio.get_running_loop(), runner.server
        await runner.cleanup()
        ours, theirs = socket.socketpair()
        with theirs:
            await loop.connect_accepted_socket(connection, ours)
            await asyncio.sleep(0)
            theirs.settimeout(5.0)
            return theirs.recv(1)

    assert asyncio.run(served()) == b""
