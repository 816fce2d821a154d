"""ForkedEngine: the embedded engine as a loop's surroundings, forked from a process that has its imports."""

import os
import subprocess
from pathlib import Path
from typing import cast

from forked import ForkServer

from rlwd.ops.servers.embedded_server import EmbeddedServer


class ForkedEngine(EmbeddedServer):
    """As an `EmbeddedServer`, on a ForkServer that has `rlwd.ops.embedded.app`."""

    def __init__(
        self, forks: ForkServer, model: Path, folder: Path, port: int | None = None
    ) -> None:
        super().__init__(model, folder, port)
        self._forks = forks

    def spawn(self) -> None:
        """Start the process without waiting for it."""
        assert not self.alive, "engine runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        _, _, module, *arguments = self.command
        with self.log.open("ab") as log, open(os.devnull, "rb") as nothing:
            files = [nothing.fileno(), log.fileno(), log.fileno()]
            made = self._forks.start(module, *arguments, files=files, environment=self.environment)
        self.process = cast("subprocess.Popen[bytes]", made)
