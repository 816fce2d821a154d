"""A daemon's pages on tables filled by hand, and a browser's way of sending their forms."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from rlwd.daemon.config import load_config
from rlwd.daemon.site.page_server import build_pages
from rlwd.daemon.status.server import StatusServer
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, free_port
from rlwd.streams.state.store import Store

CONFIG = """\
state = "."
[learner]
model = "base"
[rollout]
steps = [0.05, 0.45]
{more}
[http]
{http}
"""


class ServedPages:
    """The pages of a daemon, and a client without a session of its own."""

    def __init__(self, server: StatusServer, client: httpx.Client) -> None:
        self.server, self.client, self.vitals = server, client, server.vitals
        self.url = str(client.base_url)

    def text(self, path: str) -> str:
        """Return a page; it must be one."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/html")
        return answer.text

    def form_token(self, path: str = "/rollouts") -> str:
        """Return what a page's forms must bring back."""
        found = re.search(r'name="form" value="(\w+)"', self.text(path))
        assert found is not None
        return found[1]

    def send(self, action: str, version: str = "", **fields: str) -> httpx.Response:
        """Send a form as a browser does that is on our own page, and follow it."""
        known = {"form": "", "by": "ann", "reason": "because", "action": action, "version": version}
        known["form"] = fields.pop("form", "") or self.form_token()
        headers = {"Origin": self.url, "Sec-Fetch-Site": "same-origin"}
        return self.client.post(
            "/decide", data={**known, **fields}, headers=headers, follow_redirects=True
        )


@contextmanager
def served(folder: Path, store: Store, http: str = "", more: str = "") -> Iterator[ServedPages]:
    """Serve the pages of a store; `http` are lines of the section of that name, `more` other sections."""
    path, port = folder / "rlwd.toml", free_port()
    path.write_text(CONFIG.format(http=http, more=more))
    server = build_pages(load_config(path), store, {}, port=port).server
    server.start()
    try:
        with httpx.Client(
            base_url=f"http://{LOOPBACK}:{port}", trust_env=False, timeout=30, verify=NO_TLS
        ) as one:
            yield ServedPages(server, one)
    finally:
        server.stop()
