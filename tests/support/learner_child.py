"""Learner child: a learner's process as the daemon meets it, a real one, forked since it imports more than it does."""

import os
import time
from pathlib import Path
from typing import Any

import msgspec
from forked import ForkServer

from rlwd.learner.process.protocol import Command, Report, Working, decode_report, encode_line
from rlwd.learner.settings import LearnerProcessSettings


class Child:
    """A learner process and its pipe."""

    def __init__(self, settings: LearnerProcessSettings, folder: Path, forks: ForkServer) -> None:
        file = folder / f"child-{time.monotonic_ns()}.json"
        file.write_bytes(msgspec.json.encode(settings))
        self.log = file.with_suffix(".log")
        its_in, ours_in = os.pipe()
        ours_out, its_out = os.pipe()
        with self.log.open("wb") as log:
            self.process = forks.start(
                "rlwd.learner.process.main",
                *("--settings", str(file)),
                files=(its_in, its_out, log.fileno()),
            )
        os.close(its_in)
        os.close(its_out)
        self.stdin, self.stdout = os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb")

    def hear(self) -> Report:
        """Return what it says next, but for that it works, which it says by the clock."""
        while True:
            line = self.stdout.readline()
            assert line, self.end()
            if not isinstance(report := decode_report(line), Working):
                return report

    def hear_until(self, kind: type[Any]) -> Any:
        while not isinstance(report := self.hear(), kind):
            pass
        return report

    def tell(self, command: Command) -> None:
        self.stdin.write(encode_line(command))
        self.stdin.flush()

    def end(self) -> str:
        """Wait for the end and return what was logged."""
        self.process.wait(timeout=300)
        return self.log.read_text()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.stdin, self.stdout):
            pipe.close()
