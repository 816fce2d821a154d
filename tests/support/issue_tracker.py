"""IssueTracker: a small tracker over HTTP that opens one issue for each key, as a receiver of the webhook does."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rlwd.ops.servers.process import LOOPBACK


class IssueTracker:
    """Keeps every post, and an issue for each key; it answers with the statuses that it is given first."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.issues: dict[str, dict[str, Any]] = {}
        self.statuses: list[int] = []
        """Answers of the next posts, in order; 201 after them."""
        self.elsewhere = ""
        """Where a status of 307 leads to."""
        self.before_answer: Callable[[], None] = lambda: None
        """What happens once an issue is opened and nobody was told yet."""
        self.url = ""
        tracker = self

        class Handler(BaseHTTPRequestHandler):
            """Takes issues."""

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                tracker.posts.append((dict(self.headers), raw))
                status = tracker.statuses.pop(0) if tracker.statuses else 201
                if status == 201:
                    key = str(self.headers["Idempotency-Key"])
                    tracker.issues.setdefault(key, json.loads(raw))
                    tracker.before_answer()
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", tracker.elsewhere)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}/issues?project=7"

    @contextmanager
    def serving(self) -> Iterator["IssueTracker"]:
        """Listen until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
