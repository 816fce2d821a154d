"""Proof run: one command of a proof, run unless its reports are there, with a record of where and how long."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from kafka_server import KafkaMissing, KafkaServer
from proof_parts import Part, Run

from rlwd.streams.state.durable import replace_file
from rlwd.streams.state.file_lock import lock_file

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 120.0
"""For a run that is stopped to stop its own servers."""


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """How a run was done."""

    command: list[str]
    """After Python's name."""
    began: float
    """Unix time."""
    seconds: float
    """By the clock."""
    status: int
    """Of its process."""
    machine: str
    """Cores, processor, Python, and how busy it was at the start."""
    code: str
    """Commit of the checkout, with + where something differs from it; empty outside of git."""
    broker: bool
    """Whether it ran on a real Kafka broker."""


class Kept:
    """What is kept of a part: reports, outputs and records in its own folder."""

    def __init__(self, part: Part, state: Path) -> None:
        self.part, self.state, self.folder = part, state, state / part.name

    def done(self, run: Run) -> bool:
        """Return whether a run's reports are there, or, of one that leaves none, that it ended well."""
        ran = self.ran(run)
        if run.reports:
            there = all((self.folder / one).is_file() for one in run.reports)
            # Of one that was broken off there may be half a report; an output without a record says so.
            broken_off = ran is None and self.output(run).exists()
            return there and not broken_off and (ran is None or _same(run.command, ran.command))
        return ran is not None and ran.status == 0 and _same(run.command, ran.command)

    def ran(self, run: Run) -> Ran | None:
        """Return how a run was done last, by whichever command; None where it was not by `do`."""
        path = self._file(run, "run.json")
        return msgspec.json.decode(path.read_bytes(), type=Ran) if path.is_file() else None

    def made_by(self, run: Run) -> str:
        """Return the commit that a run was done by, to be put behind its name; empty where none is known."""
        ran = self.ran(run)
        return f" ({ran.code})" if ran is not None and ran.code else ""

    def output(self, run: Run) -> Path:
        """Return where a run's output is."""
        return self._file(run, "txt")

    def hindrance(self, run: Run) -> str:
        """Return what a run cannot begin without; empty where nothing is missing."""
        if self.part.data and "RLWD_DATA" not in os.environ:
            return "RLWD_DATA names no folder of recorded feedback"
        there = run.reports and all((self.folder / one).is_file() for one in run.reports)
        if there and self.ran(run) is not None and not self.done(run):
            return f"{self.folder / run.reports[0]} is of another command; move it away"
        missing = [one for one in run.needs if not (self.state / one).is_file()]
        return f"needs PART={missing[0].partition('/')[0]} first" if missing else ""

    def do(self, run: Run) -> Ran:
        """Run it, with what an earlier attempt left put aside; a stop of this process stops it too.

        Raises FileLocked where another process is at it: its folder must not be removed under it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        held = lock_file(self._file(run, "lock"))
        try:
            return self._do(run)
        finally:
            os.close(held)

    def _do(self, run: Run) -> Ran:
        self._put_aside(run)
        began, place, clock = time.time(), machine(), time.monotonic()
        with _broker(run) as bootstrap:
            command = [*self.filled(run.command), *(("--kafka", bootstrap) if bootstrap else ())]
            status = _status(command, self.output(run))
        ran = Ran(
            command=command,
            began=began,
            seconds=time.monotonic() - clock,
            status=status,
            machine=place,
            code=_code(),
            broker=bool(bootstrap),
        )
        replace_file(self._file(run, "run.json"), msgspec.json.encode(ran))
        return ran

    def end(self) -> list[str]:
        """Show or write what the runs came to; return what failed at it."""
        failed = []
        for command in self.part.ends:
            asked = [sys.executable, *self.filled(command)]
            status = subprocess.run(asked, check=False, cwd=ROOT).returncode
            if status:
                failed.append(f"{self.part.name} {command[1]} (status {status})")
        return failed

    def filled(self, command: tuple[str, ...]) -> list[str]:
        """Return a command with the folders in their places."""
        return [one.format(folder=self.folder, state=self.state) for one in command]

    def _put_aside(self, run: Run) -> None:
        """Remove what a run that was broken off left in a folder of its own: it begins again."""
        shutil.rmtree(self.folder / run.name, ignore_errors=True)
        for each in ("txt", "run.json"):
            self._file(run, each).unlink(missing_ok=True)

    def _file(self, run: Run, ending: str) -> Path:
        return self.folder / f"{run.name}.{ending}"


def _same(command: Sequence[str], done: Sequence[str]) -> bool:
    """Return whether a recorded command is this one, wherever the folders were and whatever the broker was."""
    more = list(done[len(command) :])
    return (
        len(done) >= len(command)
        and more[:1] in ([], ["--kafka"])
        and all(
            one.endswith(asked.rpartition("}")[2]) if "{" in asked else one == asked
            for asked, one in zip(command, done, strict=False)
        )
    )


def machine() -> str:
    """Return what a run of now runs on."""
    model = platform.processor() or platform.machine()
    told = Path("/proc/cpuinfo")
    if told.is_file():
        named = (line for line in told.read_text().splitlines() if line.startswith("model name"))
        model = next(named, f": {model}").partition(":")[2].strip()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{cores} cores of {model}, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f} at the start"
    )


def _status(command: list[str], output: Path) -> int:
    """Return a command's exit status; its output goes into a file."""
    with output.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            # A stop from the terminal would reach it twice.
            start_new_session=True,
        )
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise


@contextmanager
def _broker(run: Run) -> Iterator[str]:
    """Yield the address of a broker for this run alone; nothing where none is wanted or can be had."""
    if not run.broker:
        yield ""
        return
    with tempfile.TemporaryDirectory() as folder:
        server = KafkaServer(Path(folder))
        try:
            server.start()
        except KafkaMissing as problem:
            print(f"without Kafka: {problem}", file=sys.stderr, flush=True)
            yield ""
            return
        try:
            yield server.bootstrap
        finally:
            server.stop()


def _code() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    return told.stdout.strip()
