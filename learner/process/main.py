"""Learner process: started by the daemon, which says over a pipe which batch to apply.

    python -m rlwd.learner.process.main --settings FILE

FILE is a `LearnerProcessSettings` as JSON; `protocol.py` has the lines of the pipe; the log goes to
stderr. It may be killed at any instant. Exit codes: 2 where the settings or the folder are not usable
or another learner holds the folder, 3 where the daemon's pipe closed, 4 where a daemon with a later
lease owns the folder, 1 on anything unforeseen, with the traceback in the log.
"""

import argparse
import contextlib
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from ...streams.logs import log_to_stderr
from ...streams.state.file_lock import FileLocked, lock_file
from ..checkpoint.epoch import read_epoch
from ..settings import LearnerProcessSettings
from .protocol import Asking, Command, Ended, LearnerReady, Report, decode_command, encode_line

UNUSABLE, ORPHANED, OUTDATED = 2, 3, 4

log = structlog.get_logger()


class FolderLocked(RuntimeError):
    """Another learner holds the checkpoint folder."""


def lock_folder(folder: Path) -> BinaryIO:
    """Hold the checkpoint folder for as long as the returned file stays open.

    Raises FolderLocked, naming the holder's process id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return os.fdopen(lock_file(folder / "LOCK"), "r+b")
    except FileLocked as locked:
        holder = locked.holder or "unknown"
        raise FolderLocked(f"{folder}: held by the learner with process id {holder}") from None


def watch(source: BinaryIO, commands: "queue.SimpleQueue[Command]") -> None:
    """Thread. Consumes lines of the pipe, produces commands; waits for the daemon, and when the
    pipe closes ends the process at once, in mid-step too: its daemon is gone.
    """
    for line in source:
        try:
            commands.put(decode_command(line))
        except ValueError as problem:  # msgspec's, or of bytes that are no text
            log.error("not_a_command", line=repr(line[:200]), problem=str(problem))
            os._exit(UNUSABLE)
    os._exit(ORPHANED)


def serve(
    settings: LearnerProcessSettings, commands: "queue.SimpleQueue[Command]", out: BinaryIO
) -> None:
    """Restore, say ready, then ask and obey for ever."""
    # Late, since importing torch takes seconds in which the pipe may already close.
    from .worker import Worker

    def tell(report: Report) -> None:
        out.write(encode_line(report))
        out.flush()

    worker = Worker(settings)
    tell(LearnerReady(sequence=worker.head.sequence, version=worker.head.version))
    while True:
        tell(Asking(sequence=worker.head.sequence))
        tell(worker.run(commands.get(), tell))


def _say_why(out: BinaryIO, problem: Exception) -> None:
    # Where the daemon has gone nobody is left to tell.
    with contextlib.suppress(BrokenPipeError):
        out.write(encode_line(Ended(reason=str(problem))))
        out.flush()


def main() -> int:
    """Run the child; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="rlwd.learner.process.main", description="The learner's process"
    )
    parser.add_argument(
        "--settings", type=Path, required=True, help="LearnerProcessSettings as JSON"
    )
    log_to_stderr("learner")
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C goes to the daemon, which ends us in order
    # Whatever a library prints must not reach the pipe.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    path: Path = parser.parse_args().settings
    try:
        settings = msgspec.json.decode(path.read_bytes(), type=LearnerProcessSettings)
        held = lock_folder(Path(settings.folder))
    except (OSError, msgspec.MsgspecError, FolderLocked) as problem:
        log.error("settings_unusable", path=str(path), problem=str(problem))
        _say_why(out, problem)
        return UNUSABLE
    if (epoch := read_epoch(Path(settings.folder))) > settings.lease_epoch:
        log.error(
            "later_lease_rules",
            problem=f"EPOCH is {epoch}, this learner's lease {settings.lease_epoch}",
        )
        return OUTDATED
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    threading.Thread(target=watch, args=(sys.stdin.buffer, commands), daemon=True).start()
    os.nice(settings.learner.nice)
    if settings.learner.threads:
        os.environ["OMP_NUM_THREADS"] = str(settings.learner.threads)
    from ..checkpoint.write import StaleEpoch  # imports torch, so after the thread

    try:
        serve(settings, commands, out)
    except StaleEpoch as problem:
        log.error("later_lease_rules", problem=str(problem))
        return OUTDATED
    except ValueError as problem:
        log.error("unusable", problem=str(problem))
        _say_why(out, problem)
        return UNUSABLE
    finally:
        held.close()
    return 0


def _end() -> None:
    try:
        code = main()
    except ModuleNotFoundError as missing:
        # torch or one of its kin, which an installation without the extra does not have.
        log.error("unusable", problem=f"{missing}: pip install 'rlwd[learner]'")
        code = UNUSABLE
    except Exception:
        log.exception("process_ends")
        code = 1
    # Not sys.exit: the thread that waits for the pipe would abort the interpreter's own ending.
    os._exit(code)


if __name__ == "__main__":
    _end()
