"""Process: what is asked of a server of ours, and what is told of it."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from rlwd.ops.servers.process import TAIL_BYTES, Server, answers


class Healthy(BaseHTTPRequestHandler):
    """A page that says 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_no_proxy_stands_before_a_server_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment names one for the world outside, servers on loopback are asked directly."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        assert answers(f"http://127.0.0.1:{server.server_port}/health")()
        server.shutdown()


def test_of_a_long_log_the_end_is_read(tmp_path: Path) -> None:
    """What a server wrote in months is not read whole for its last lines."""
    log = tmp_path / "log"
    log.write_text("x" * (2 * TAIL_BYTES) + "\nlast but one\nlast\n")
    server = Server([], name="a server", log=log, healthy=bool)
    assert server.tail(2) == "last but one\nlast"
    assert len(server.tail()) <= TAIL_BYTES
