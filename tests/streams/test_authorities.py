"""Authorities: a server with a certificate of the operator's own authority is believed once that is named."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import certifi
import httpx
import pytest

from rlwd.daemon.engines.engine_pool import EnginePool, open_session
from rlwd.daemon.init.asked import PageAnswer, ask
from rlwd.learner.service.tinker_training import _download
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.servers.process import LOOPBACK
from rlwd.streams.authorities import authorities


class Healthy(BaseHTTPRequestHandler):
    """Answers 200 to whoever asks."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of this host's loopback that no public authority signed, with its key beside it."""
    made = tmp_path / "own.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=rlwd tests", "-addext", f"subjectAltName=IP:{LOOPBACK}"]
    command += ["-keyout", str(tmp_path / "key.pem"), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.fixture
def url(certificate: Path) -> Iterator[str]:
    """A server that shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with HTTPServer((LOOPBACK, 0), Healthy) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"https://{LOOPBACK}:{server.server_port}"
        server.shutdown()
        serving.join()


@pytest.fixture
def named(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The environment names it, as a unit's does, and what was read before is forgotten."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    authorities.cache_clear()
    yield monkeypatch
    authorities.cache_clear()


def believed(url: str) -> tuple[bool, bool, bool]:
    """Return whether daemon, gateway and `rlwd init` believe the server."""

    async def by_gateway() -> bool:
        pool = EnginePool(open_session(60.0), (url,))
        try:
            return await pool.alive(1e9)
        finally:
            await pool.close()

    engine = HttpEngine(url)
    try:
        return engine.healthy(), asyncio.run(by_gateway()), isinstance(ask(f"{url}/"), PageAnswer)
    finally:
        engine.close()


def test_an_authority_of_ones_own(url: str, named: pytest.MonkeyPatch) -> None:
    """It is believed by all where SSL_CERT_FILE names it, and by nobody where it does not."""
    assert believed(url) == (True, True, True)
    named.delenv("SSL_CERT_FILE")
    authorities.cache_clear()
    assert believed(url) == (False, False, False)


def test_the_systems_are_believed_beside_it(
    url: str, certificate: Path, named: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another authority that the environment names takes its place in nothing that is asked, a training service's
    files among them; OpenSSL, and httpx by itself, would read the named one instead."""
    named.setenv("SSL_CERT_FILE", certifi.where())
    authorities.cache_clear()
    assert believed(url) == (False, False, False)
    with pytest.raises(httpx.ConnectError):
        _download(f"{url}/", tmp_path / "file", 60.0)
    paths = ssl.get_default_verify_paths()._replace(openssl_cafile=str(certificate))
    named.setattr(ssl, "get_default_verify_paths", lambda: paths)
    authorities.cache_clear()
    assert believed(url) == (True, True, True)
    _download(f"{url}/", tmp_path / "file", 60.0)
    assert (tmp_path / "file").exists()


def test_public_ones_are_believed_beside_it(named: pytest.MonkeyPatch) -> None:
    """Naming one's own takes nothing from those that httpx brings."""
    public = httpx.create_ssl_context(trust_env=False)
    ours = {str(one) for one in authorities().get_ca_certs()}
    assert ours >= {str(one) for one in public.get_ca_certs()}
