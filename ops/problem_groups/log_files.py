"""Log files: problems in the JSON lines of rlwd's processes, by day."""

import glob
import gzip
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from ...streams.state.store import Store
from .answered import ANSWERS, answered
from .fingerprint import LONGEST, normal
from .problem_group import DAY, CountedProblems, ProblemGroup, told_name

LEVELS = frozenset(("warning", "error", "critical"))
SAYS = ("problem", "reason", "why", "error")
"""Keys of a line that say what is wrong; the first that is there counts."""
SLOT = 600
"""Seconds of a slot: a line is counted once in each, so that one outage is not a thousand problems."""
SLOTS_A_DAY = DAY // SLOT
UNIT = "ten minutes"
MOST_GROUPS = 2000
"""Groups of lines that are told apart; further ones are one."""
MOST_NAMED = 100_000
"""Answers that lines name of which it is looked up who got them."""
LONGEST_LINE = 1 << 20
_WORKER = re.compile(r"-w\d+$")
_FRAME = re.compile(r'File "([^"]+)", line \d+, in (\S+)')


class LogProblem(NamedTuple):
    """One line that says that something is wrong."""

    at: float
    """When it was written, epoch seconds."""
    name: str
    """What it says, without what differs from time to time."""
    generation: str
    """The answer that it is about; empty where it is about none."""
    version: str
    """The version that it names; empty where it names none."""


class LogFiles:
    """Counts the problems that lines tell into what was counted so far."""

    def __init__(self, counted: CountedProblems, since_day: int) -> None:
        """Evidence is of days from `since_day` on."""
        self.counted, self.since_day = counted, since_day
        self._slots = defaultdict[tuple[str, int], set[int]](set)
        self._versions = defaultdict[tuple[str, str], set[int]](set)
        self._names = set[str]()
        self._days = set[int]()
        self._named: dict[tuple[str, str], float] = {}

    def read(self, patterns: Sequence[str], first_day: int, until_day: int) -> None:
        """Count the problems of some days in the files that the patterns name.

        A file that cannot be read is said to be so among what was read, and keeps nothing else back.
        """
        paths, lines, others = log_paths(patterns), 0, 0
        for path in paths:
            try:
                for at, one in _lines(path):
                    if at is None:
                        others += 1
                    elif first_day <= (day := int(at // DAY)) < until_day:
                        lines += 1
                        self._days.add(day)
                        if one is not None:
                            self._add(one, day)
            except (OSError, EOFError, zlib.error) as problem:
                why = getattr(problem, "strerror", None) or str(problem)
                self.counted.read.append(f"{path} cannot be read to its end: {why}")
        for day in self._days:
            self.counted.trials[UNIT, "", day] = SLOTS_A_DAY
        for (group, day), found in self._slots.items():
            self.counted.hits[group, "", day] += len(found)
        for key, found in self._versions.items():
            self.counted.shared[key] = len(found)
        self.counted.read.append(_told(patterns, len(paths), lines, others))

    def attribute(self, store: Store, policy: str) -> None:
        """Note of the answers that lines name who got them, and from which version."""
        answers = list(dict.fromkeys(name for _, name in self._named))
        with store.reading() as view:
            found = {
                name: (version, person) for name, version, person in answered(view, policy, answers)
            }
        for (group, name), at in sorted(self._named.items()):
            if name in found:
                version, person = found[name]
                self.counted.people.note(int(at // DAY), person, version, [], [group])
                if at >= self.since_day * DAY:
                    self.counted.show(group, version, at, name)

    def _add(self, one: LogProblem, day: int) -> None:
        if one.name not in self._names and len(self._names) >= MOST_GROUPS:
            one = one._replace(name="other lines")
        self._names.add(one.name)
        group = self.counted.group(
            ProblemGroup(source="log", name=one.name, unit=UNIT, people=ANSWERS)
        )
        self._slots[group, day].add(int(one.at % DAY) // SLOT)
        if day >= self.since_day:
            # One slot may be of several versions, and is one slot of the day all the same.
            version = told_name(one.version) if one.version else ""
            self._versions[group, version].add(int(one.at) // SLOT)
        if one.generation and len(self._named) < MOST_NAMED:
            self._named[group, one.generation] = one.at


def log_paths(patterns: Iterable[str]) -> list[Path]:
    """Return the files that patterns name, each once, by name."""
    found = {
        Path(name).resolve()
        for pattern in patterns
        for name in glob.glob(pattern, recursive=True)
        if Path(name).is_file()
    }
    return sorted(found)


def problem_of(line: dict[str, Any], at: float) -> LogProblem | None:
    """Return what a line says is wrong; None where its level is none of a problem."""
    level = str(line.get("level", ""))
    if level not in LEVELS:
        return None
    # What one of several workers logs, the others do as well: it is one problem of them.
    process = _WORKER.sub("", str(line.get("process", "")))
    parts = [process, level, normal(str(line.get("message", "")))]
    if line.get("logger"):
        parts.insert(2, str(line["logger"]))
    if isinstance(line.get("status"), int):
        parts.append(str(line["status"]))
    if line.get("exception"):
        parts.append(_raised(str(line["exception"])))
    said = next((line[key] for key in SAYS if isinstance(line.get(key), str)), "")
    name = " ".join(filter(None, parts)) + (f": {normal(said)}" if said else "")
    generation, version = (
        found if isinstance(found := line.get(key), str) else ""
        for key in ("generation", "version")
    )
    return LogProblem(at, name[:LONGEST], generation, version)


def _raised(trace: str) -> str:
    """Return an exception's type and where it was raised: its words may be somebody's."""
    last = trace.strip().rpartition("\n")[2]
    kind = last.partition(":")[0].partition(" ")[0]
    frames = _FRAME.findall(trace)
    where = f" in {frames[-1][1]} ({Path(frames[-1][0]).name})" if frames else ""
    return f"{normal(kind)}{where}"


def _lines(path: Path) -> Iterator[tuple[float | None, LogProblem | None]]:
    """Yield when each line was written, None of what is no line of rlwd's, and the problem that it tells."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with _opened(path) as file:
        while raw := file.readline(LONGEST_LINE):
            try:
                line = decode(raw)
                at = datetime.fromisoformat(line["time"]).timestamp()
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                yield None, None
            else:
                yield at, problem_of(line, at)


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _told(patterns: Sequence[str], files: int, lines: int, others: int) -> str:
    if not patterns:
        return "no log files are named: `triage.logs` names none"
    said = f"{lines} lines of {files} log files ({json.dumps(list(patterns))[1:-1]})"
    return f"{said}; {others} lines are none of rlwd's" if others else said
