"""Runbook steps: types what a procedure of docs/runbook.md says, on processes of a test."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "runbook.md"

Unit = Callable[[str, str], None]
"""Does to a unit what `systemctl` is told: the action (start, stop, restart, enable), and its name."""


def commands(heading: str, after: str = "") -> list[str]:
    """Return the commands under a heading, comments left out; of the first block behind `after` alone."""
    text = PAGE.read_text().split(f"\n### {heading}\n", 1)[1].split("\n### ", 1)[0]
    if after:
        assert after in text, f"{heading} says nothing of {after!r}"
        text = text.split(after, 1)[1]
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None, f"{heading} shows no commands"
    bare = [line.split("  #")[0].strip() for line in block[1].splitlines()]
    return [line for line in bare if line]


class RunbookSteps:
    """Follows procedures: units are the test's own processes, and places its own folders.

    What a test has not (an editor, a wheel) it gives as `replaced`: text of the page to text of its own.
    """

    def __init__(self, config: Path, unit: Unit, replaced: Mapping[str, str]) -> None:
        self.folder, self.unit, self.replaced = config.parent, unit, dict(replaced)
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "rlwd").write_text(
            f'#!/bin/sh\nexec {sys.executable} -m rlwd.daemon "$@" --config {config}\n'
        )
        (programs / "rlwd").chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    def follow(self, heading: str, after: str = "") -> Iterator[str]:
        """Type the commands one by one; yield each, as the page has it, once it has ended well."""
        for line in commands(heading, after):
            typed = self._typed(line)
            if typed.startswith("systemctl "):
                action, *units = [word for word in shlex.split(typed)[1:] if word != "--now"]
                for unit in units:
                    self.unit(action, unit)
            else:
                self._run(typed)
            yield line

    def _typed(self, line: str) -> str:
        # In one pass: a port that was put in may look like one of the page's.
        places = "|".join(re.escape(each) for each in self.replaced)
        return re.sub(places, lambda found: self.replaced[found[0]], line)

    def _run(self, typed: str) -> None:
        done = subprocess.run(
            ["bash", "-c", typed],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{typed}\n{done.stdout}{done.stderr}"

    def done(self, heading: str, after: str = "") -> None:
        """Type all of them."""
        for _ in self.follow(heading, after):
            pass
