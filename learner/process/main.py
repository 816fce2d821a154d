"""Learner process: started by the daemon, which says over a pipe which batch to apply.

    python -m rlwd.learner.process.main --settings FILE

FILE is a `LearnerProcessSettings` as JSON; `protocol.py` has the lines of the pipe; the log goes to
stderr. It may be killed at any instant. Exit codes: 2 where the settings or the folder are not usable
or another learner holds the folder, 3 where the daemon's pipe closed, 4 where a daemon with a later
lease owns the folder, 5 where the disk takes no checkpoint, 1 on anything unforeseen, with the traceback
in the log. With `learner.processes`
this is rank 0: it starts the others by the same command, hands the daemon's lines on to them, and ends
when one of them does.
"""

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from ...streams.logs import log_to_stderr
from ...streams.quick_imports import quick_imports
from ...streams.state.file_lock import FileLocked, lock_file
from ..base_weights import base_weights
from ..checkpoint.epoch import read_epoch
from ..installed import check_installed
from ..ranks.other_ranks import OtherRanks, end_with_parent, threads_of_each
from ..settings import LearnerProcessSettings
from .arguments import Arguments, read_arguments
from .protocol import (
    CLOSED,
    NO_ROOM,
    Asking,
    Command,
    Ended,
    LearnerReady,
    Report,
    TrafficSlow,
    Waiting,
    Working,
    decode_command,
    encode_line,
)
from .traffic import Traffic

UNUSABLE, ORPHANED, OUTDATED = 2, 3, 4
LAST_WORDS_SECONDS = 1.0
"""Longest wait for who knows the reason of an end to tell it: a collective that broke off does not."""
SAME_REASON_SECONDS = 60.0
"""Longest wait for rank 0 to find what another rank found at its start."""

TIMED_OUT = ("imed out", "timeout")
"""What a collective, or a join, says in which another rank did not answer."""

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


def watch(
    source: BinaryIO,
    commands: "queue.SimpleQueue[Command]",
    relay: Callable[[bytes], None],
    traffic: Traffic,
) -> None:
    """Thread. Consumes lines of the pipe, produces commands, and what is said of traffic at once; waits
    for the daemon, and when the pipe closes ends the process at once, in mid-step too: its daemon is gone.
    """
    for line in source:
        try:
            command = decode_command(line)
            if isinstance(command, TrafficSlow):
                # The other ranks wait where this one does.
                traffic.hear(command.seconds)
                continue
            relay(line)
            commands.put(command)
        except ValueError as problem:  # msgspec's, or of bytes that are no text
            log.error("not_a_command", line=repr(line[:200]), problem=str(problem))
            os._exit(UNUSABLE)
    os._exit(ORPHANED)


def serve(
    settings: LearnerProcessSettings,
    commands: "queue.SimpleQueue[Command]",
    out: BinaryIO,
    given: Arguments,
    others: OtherRanks,
    traffic: Traffic,
) -> None:
    """Restore, say ready, then ask and obey for ever."""
    # Late, since importing torch takes seconds in which the pipe may already close.
    with quick_imports():
        from ..ranks.join import join_ranks
        from .worker import Worker

    def tell(report: Report) -> None:
        _say(out, report)

    listening = others.listening.detach() if others.listening else None
    traffic.at_work()  # Before the wait for the others: the daemon has to wait for longer than they do.
    ranks = join_ranks(settings.learner, given.rank, given.port or others.port, listening)
    traffic.at_work()
    worker = Worker(settings, ranks, lambda reason: tell(Waiting(reason=reason)), traffic)
    tell(LearnerReady(sequence=worker.head.sequence, version=worker.head.version))
    while True:
        tell(Asking(sequence=worker.head.sequence))
        tell(worker.run(commands.get(), tell))


def _say(out: BinaryIO, report: Report) -> None:
    out.write(encode_line(report))
    out.flush()


def _say_why(out: BinaryIO, problem: Exception | str) -> None:
    # Where the daemon has gone nobody is left to tell.
    with contextlib.suppress(BrokenPipeError):
        _say(out, Ended(reason=str(problem)))


def _start_others(given: Arguments, settings: LearnerProcessSettings, out: BinaryIO) -> OtherRanks:
    """Start what this process is rank 0 of; the end of one of them is the end of this one."""
    count = 0 if given.rank else settings.learner.processes - 1
    main_module = [sys.executable, "-m", "rlwd.learner.process.main"]
    others = OtherRanks([*main_module, "--settings", str(given.settings)], count)

    def ended(rank: int, status: int) -> None:
        if status == UNUSABLE:
            # What it cannot use this process cannot either, and says so to the daemon.
            time.sleep(SAME_REASON_SECONDS)
        log.error("rank_ended", rank=rank, status=status)
        _say_why(out, f"its process of rank {rank} ended with status {status}")
        os._exit(UNUSABLE if status == UNUSABLE else 1)

    others.watch(ended)
    return others


def main() -> int:
    """Run the child; returns its exit code."""
    given = read_arguments()
    end_with_parent()
    log_to_stderr(f"learner, rank {given.rank}" if given.rank else "learner")
    for number in (signal.SIGINT, signal.SIGHUP):  # A terminal's: the daemon ends us in order.
        signal.signal(number, signal.SIG_IGN)
    # Whatever a library prints must not reach the pipe; only rank 0 has somebody to tell.
    out = os.fdopen(os.open(os.devnull, os.O_WRONLY) if given.rank else os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        settings = msgspec.json.decode(given.settings.read_bytes(), type=LearnerProcessSettings)
        held = None if given.rank else lock_folder(Path(settings.folder))
        check_installed()
        base_weights(settings.learner.model)  # Before torch, which takes seconds to import.
    except (OSError, ValueError, FolderLocked) as problem:
        log.error("settings_unusable", path=str(given.settings), problem=str(problem))
        _say_why(out, problem)
        return UNUSABLE
    if (epoch := read_epoch(Path(settings.folder))) > settings.lease_epoch:
        told = f"EPOCH is {epoch}, this learner's lease {settings.lease_epoch}"
        log.error("later_lease_rules", problem=told)
        return OUTDATED
    if threads := threads_of_each(settings.learner):
        os.environ["OMP_NUM_THREADS"] = str(threads)
    others = _start_others(given, settings, out)
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    traffic = Traffic(
        settings.learner.yielding,
        lambda report: _say(out, report),
        at_work=lambda: _say(out, Working()),
    )
    pipe = (sys.stdin.buffer, commands, others.relay, traffic)
    threading.Thread(target=watch, args=pipe, daemon=True).start()
    os.nice(settings.learner.nice)
    return _served(settings, commands, out, given, others, held, traffic)


def _served(
    settings: LearnerProcessSettings,
    commands: "queue.SimpleQueue[Command]",
    out: BinaryIO,
    given: Arguments,
    others: OtherRanks,
    held: BinaryIO | None,
    traffic: Traffic,
) -> int:
    """Serve until it cannot go on; returns the exit code."""
    from ..checkpoint.no_room import NoRoom
    from ..checkpoint.write import StaleEpoch  # imports torch, so after the thread
    from ..service.port import ServiceClosed

    try:
        serve(settings, commands, out, given, others, traffic)
    except StaleEpoch as problem:
        log.error("later_lease_rules", problem=str(problem))
        return OUTDATED
    except (NoRoom, ValueError) as problem:
        log.error("unusable", problem=str(problem))
        _say_why(out, problem)
        return {NoRoom: NO_ROOM, ServiceClosed: CLOSED}.get(type(problem), UNUSABLE)
    except RuntimeError as problem:
        if settings.learner.processes > 1:
            time.sleep(LAST_WORDS_SECONDS)
            # Of one that had ended another thread would have told.
            if any(said in str(problem) for said in TIMED_OUT):
                _say_why(out, f"one of its processes hangs (learner.hang_seconds): {problem}")
        raise
    finally:
        if held:
            held.close()
    return 0


def _end() -> None:
    try:
        code = main()
    except Exception:
        log.exception("process_ends")
        code = 1
    # Not sys.exit: the thread that waits for the pipe would abort the interpreter's own ending.
    os._exit(code)


if __name__ == "__main__":
    _end()
