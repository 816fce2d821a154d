"""A stand-in for the server of a version: it has no model, and answers a probe as it is told to.

Its command line is the embedded engine's; `PATH/answers` holds the log-probability that it gives each token,
or `dies`: then it ends as it starts; with `hangs` it never answers.
"""

import argparse
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Handler(BaseHTTPRequestHandler):
    name, answers = "", -1.0

    def do_GET(self) -> None:
        page = b"vllm:num_requests_waiting 1\nvllm:num_requests_running 2\n"
        self.say(page if self.path == "/metrics" else b"")

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = [{str(one): {"logprob": self.answers}} for one in body.get("prompt") or ()]
        answer = {
            "choices": [{"prompt_logprobs": told}],
            "model": body["model"],
            "pid": os.getpid(),
        }
        answer["headers"] = sorted(self.headers.keys())
        self.say(json.dumps(answer).encode(), "application/json")

    def say(self, content: bytes, kind: str = "text/plain") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--model", "--name", "--port"):
        parser.add_argument(option, required=True)
    asked = parser.parse_args()
    told = Path(asked.model) / "answers"
    answers = told.read_text() if told.exists() else "-1.0"
    if answers == "dies":
        sys.exit("it was told to die")
    while answers == "hangs":
        time.sleep(60.0)
    Handler.name, Handler.answers = asked.name, float(answers)
    ThreadingHTTPServer(("127.0.0.1", int(asked.port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
