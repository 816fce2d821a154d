"""EmbeddedServer: the embedded engine as a child process on loopback. Importable without torch."""

import sys
from pathlib import Path

from .process import LOOPBACK, Server, answers, free_port


class EmbeddedServer(Server):
    """`python -m rlwd.ops.embedded.main`, its log in `folder`; ready in about 6 s."""

    def __init__(
        self, model: Path, folder: Path, port: int | None = None, *, threads: int = 1
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        settings = ("--model", str(model), "--port", str(self.port), "--threads", str(threads))
        super().__init__(
            [sys.executable, "-m", "rlwd.ops.embedded.main", *settings],
            name="engine",
            log=folder / "engine.log",
            healthy=answers(f"{self.url}/health"),
            environment={
                "OMP_NUM_THREADS": str(threads),
                "HF_HUB_OFFLINE": "1",
                "TOKENIZERS_PARALLELISM": "false",
            },
        )
