"""Exit status: what a process of rlwd ends with, and the one line that says why and what to do.

The units start a process again whatever it ended with, but for `FAULT`: what an operator has to put
right does not get better by trying.
"""

import contextlib
import errno
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator

from ..streams.state.sqlite_problem import is_busy, remedy_of

ENDED = 1
"""It ran, and could not go on; the next one goes on from the tables."""
FAULT = 2
"""What it was given is wrong: an operator has to put it right first."""
LATER = 75
"""What it needs is away, or another process holds it: it may be tried again as it is."""

REPORTED = (ValueError, RuntimeError, OSError, sqlite3.Error)
"""What is told in a line; anything else is a fault of ours, and has a stack trace."""
_OWNER = "give it to the user of rlwd, or run as its owner"
_REMEDIES = {
    errno.EACCES: _OWNER,
    errno.EPERM: _OWNER,
    errno.EROFS: "its file system is read-only: mount it for writing",
    errno.ENOSPC: "its disk is full: make room, then start again",
    errno.EDQUOT: "its owner's quota is used up: make room, then start again",
    errno.EEXIST: "a file stands where a folder has to be: move it away",
    errno.ENOTDIR: "a file stands where a folder has to be: move it away",
    errno.EMFILE: "raise the limit of open files (LimitNOFILE of the unit)",
    errno.EADDRINUSE: "another process listens there: stop it, or choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address: correct the host",
}
_OF_TARGET = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of a copy that are of the place that is copied to."""


def status_of(problem: BaseException) -> int:
    """Return `FAULT`, or `LATER` where the same start may succeed by itself."""
    # Imported here: `rlwd --help` needs none of them.
    from ..streams.log.log_file import LogDamaged
    from ..streams.state.file_lock import FileLocked
    from ..streams.state.lease import LeaseHeld
    from ..streams.state.refused import Refused
    from .spool.folder import SpoolBusy

    if isinstance(problem, LogDamaged | Refused):
        return FAULT
    if isinstance(problem, sqlite3.Error):
        return LATER if is_busy(problem) else FAULT
    held = LeaseHeld | FileLocked | SpoolBusy
    passing = isinstance(problem, ConnectionError | TimeoutError | held)
    return LATER if passing else FAULT


def told(problem: BaseException) -> str:
    """Return one line that names the thing, and what to do about it where that is known.

    Below the line of a server that we started stand the last ones that it wrote.
    """
    from ..ops.servers.server_died import ServerDied

    if isinstance(problem, shutil.Error) and problem.args and isinstance(problem.args[0], list):
        problem = _first_of(problem.args[0])
    text = str(problem)
    if isinstance(problem, ServerDied):
        return text
    if isinstance(problem, OSError) and problem.strerror:
        named = f"{problem.filename}: " if problem.filename is not None else ""
        remedy = _REMEDIES.get(problem.errno or 0)
        text = f"{named}{problem.strerror}" + (f": {remedy}" if remedy else "")
    if isinstance(problem, sqlite3.Error) and (remedy := remedy_of(problem)):
        text = f"{text}: {remedy}"
    return " ".join(text.split()) or type(problem).__name__


def _first_of(problems: list[tuple[str, str, str]]) -> OSError:
    """Return the first of many files that could not be copied, as the error that it was."""
    source, target, why = problems[0]
    number = re.search(r"\[Errno (\d+)\]", why)
    if number is None:
        return OSError(f"{source}: {why}")
    code = int(number[1])
    return OSError(code, os.strerror(code), target if code in _OF_TARGET else source)


def say_last(line: str) -> None:
    """Write why a process ends; in the journal it stands among the errors."""
    # Imported here: `rlwd --help` needs no logs.
    from ..streams.logs import journal_mark

    print(f"{journal_mark('error')}rlwd: {line}", file=sys.stderr)


@contextlib.contextmanager
def starting(
    began: Callable[[], bool] = lambda: False, for_good: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """End the process of a unit as its supervisor is to take it: `FAULT`, `LATER` or `ENDED`.

    `began` says whether it ran before what ended it; `for_good` ends it with `FAULT` then, too.
    """
    try:
        yield
    except REPORTED as problem:
        status, line = status_of(problem), told(problem)
        if began() and not isinstance(problem, for_good):
            status = ENDED
        elif status == LATER:
            line += "; start or free what is named, or correct the config: it may be tried as it is"
        say_last(line)
        raise SystemExit(status) from problem
