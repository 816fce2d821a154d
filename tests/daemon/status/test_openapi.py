"""The daemon's pages are described, and answer as described, whatever a caller sends."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from daemon_by_hand import open_daemon_ledger
from schema_fuzz import fuzz, operations

from rlwd.daemon.config import load_config
from rlwd.daemon.site.page_server import build_pages
from rlwd.daemon.status.openapi import openapi_document
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, free_port

PUBLISHED = Path(__file__).parents[3] / "docs" / "openapi.daemon.json"
TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Pages that ask for a token, on real tables."""
    ledger, port = open_daemon_ledger(tmp_path / "rlwd.db"), free_port()
    path = tmp_path / "rlwd.toml"
    path.write_text('[learner]\nmodel = "base"\n[http]\ntoken = "secret"\n')
    server = build_pages(load_config(path), ledger.store, {"engine": "away"}, port=port).server
    server.start()
    yield f"http://{LOOPBACK}:{port}"
    server.stop()
    ledger.store.close()


def test_the_published_description_is_todays() -> None:
    """`python -m rlwd.daemon.status.openapi docs/openapi.daemon.json` was run."""
    assert json.loads(PUBLISHED.read_text()) == openapi_document()


@pytest.mark.parametrize(("path", "method"), operations(openapi_document()))
def test_the_pages_answer_as_described(path: str, method: str, url: str) -> None:
    """With the token and without it, each page's answer is one of those described."""
    for headers in ({}, TOKEN):
        fuzz(openapi_document(), url, path, method, examples=5, headers=headers)


@pytest.mark.parametrize(
    "path", ["/", "/rollouts", "/livez", "/readyz", "/metrics", "/statusz", "/%ff", "/x"]
)
@pytest.mark.parametrize(
    "headers",
    [{}, {b"Authorization": b"Bearer \xff"}, {b"Authorization": b"Basic \xff="}, {b"X": b"\xff"}],
)
def test_no_request_is_answered_by_500(path: str, headers: dict[bytes, bytes], url: str) -> None:
    """Odd methods, paths and header bytes are the caller's fault."""
    with httpx.Client(base_url=url, trust_env=False, verify=NO_TLS) as client:
        for method in ("GET", "POST", "DELETE"):
            status = client.request(method, path, headers=headers, content=b"\xff").status_code
            assert status in (200, 401, 404, 405, 503)
