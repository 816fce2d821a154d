"""Runbook steps: types what docs/runbook.md says, on processes of a test."""

import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "runbook.md"

Unit = Callable[[str, str], None]
"""Does to a unit what `systemctl` is told: the action (start, stop, restart, enable), and its name."""

_RLWD = '#!/bin/sh\nexec {python} -m rlwd.daemon "$@" --config {config}\n'
_JOURNAL = """\
#!/bin/sh
# The journal of a machine without systemd: the log files of units, by level.
n=20 levels=. files=
while [ $# -gt 0 ]; do
    case $1 in
        -n) n=$2; shift ;;
        -p) case $2 in err) levels='"level": ?"(error|critical)"' ;; *) levels='"level": ?"(warning|error|critical)"' ;; esac; shift ;;
        -u) case $2 in rlwd) files="$files {folder}/run-*.log" ;; *) files="$files {folder}/gateway-${{2#*@}}.log" ;; esac; shift ;;
    esac
    shift
done
cat ${{files:-{folder}/*.log}} | grep -E "$levels" | tail -n "$n"
"""


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


def checks(heading: str) -> list[str]:
    """Return what an alert's entry says to type for its check."""
    text = PAGE.read_text().split(f"\n### {heading}\n", 1)[1].split("\n### ", 1)[0]
    line = re.search(r"^- \*\*Check\*\*: (.+)$", text, re.MULTILINE)
    assert line is not None, f"{heading} has no check"
    programs = ("rlwd ", "curl ", "journalctl ", "df ", "du ", "ls ", "kafka-", "psql ")
    return [span for span in re.findall(r"`([^`]+)`", line[1]) if span.startswith(programs)]


class RunbookSteps:
    """Follows procedures: units are the test's own processes, and places its own folders.

    What a test has not (an editor, a wheel) it gives as `replaced`: text of the page to text of its own.
    """

    def __init__(self, config: Path, unit: Unit, replaced: Mapping[str, str]) -> None:
        self.folder, self.unit, self.replaced = config.parent, unit, dict(replaced)
        self.printed = ""
        """What the last command printed."""
        self.programs = self.folder / "bin"
        self.programs.mkdir()
        self.program("rlwd", _RLWD.format(python=sys.executable, config=config))
        self.program("journalctl", _JOURNAL.format(folder=self.folder))
        self.environment = {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def program(self, name: str, script: str) -> None:
        """Put a program where the commands find it."""
        path = self.programs / name
        path.write_text(script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def follow(self, heading: str, after: str = "") -> Iterator[str]:
        """Type the commands one by one; yield each, as the page has it, once it has ended well."""
        for line in commands(heading, after):
            typed = self._typed(line)
            if typed.startswith("systemctl "):
                action, *units = [word for word in shlex.split(typed)[1:] if word != "--now"]
                for unit in units:
                    self.unit(action, unit)
            else:
                self.type(line)
            yield line

    def done(self, heading: str, after: str = "") -> None:
        """Type all of them."""
        for _ in self.follow(heading, after):
            pass

    def type(self, line: str) -> str:
        """Type one command of the page; return what it printed. It has to end well."""
        done = self._run(line)
        assert done.returncode == 0, f"{self._typed(line)}\n{done.stdout}{done.stderr}"
        self.printed = done.stdout
        return done.stdout

    def check(self, heading: str) -> str:
        """Type an alert's check; return all that was printed. What finds something may end with 1."""
        typed = checks(heading)
        assert typed, f"{heading}: nothing of its check is typed here"
        return "\n".join(self._run(line).stdout for line in typed)

    def _typed(self, line: str) -> str:
        # In one pass: a port that was put in may look like one of the page's.
        places = "|".join(re.escape(each) for each in self.replaced)
        return re.sub(places, lambda found: self.replaced[found[0]], line)

    def _run(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", self._typed(line)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
