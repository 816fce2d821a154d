"""Erasure list: whom to forget again once a state is put back, kept where no restore reaches it.

A backup is older than what was erased since. So every erasure is written down beside the state first,
by its keyed hash alone, and whoever is on the list and not among a state's erased is erased from it
again: by `rlwd restore`, and by the daemon before it takes in anything, however the state came back.
"""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from ...streams.state.durable import fsync
from ...streams.state.store import Store
from ..config import Config
from .person import ErasureReport, erase_person

log = structlog.get_logger()


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list."""

    policy: str
    """Of whose state."""
    user_hash: str
    """Keyed hash of the person, as the records carry it."""
    at: float
    """Epoch seconds of the erasure."""


def read_listed(path: Path, policy: str) -> dict[str, float]:
    """Return when each person on the list was erased, by hash; nobody where there is no list.

    A last line that was cut off is none: what it would have said was not begun. Raises ValueError with
    the line where another one is damaged, OSError where the file cannot be read.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as problem:
        raise _named(problem, path) from problem
    found = dict[str, float]()
    *lines, _ = raw.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            one = msgspec.json.decode(line, type=Listed)
        except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
            raise ValueError(
                f"erasures: {path}, line {number}: {problem}: correct the line, or take it out"
                " and erase that person again"
            ) from problem
        if one.policy == policy:
            found.setdefault(one.user_hash, one.at)
    return found


def note_erased(path: Path, policy: str, people: Mapping[str, float]) -> None:
    """Put people on the list who are not on it, durably; `people` are times of erasure by hash.

    Raises OSError with the config's key where the file cannot be written to.
    """
    known = read_listed(path, policy)
    fresh = {one: at for one, at in people.items() if one not in known}
    if not fresh:
        return
    lines = b"".join(
        msgspec.json.encode(Listed(policy=policy, user_hash=one, at=at)) + b"\n"
        for one, at in sorted(fresh.items(), key=lambda each: each[1])
    )
    try:
        _append(path, lines)
    except OSError as problem:
        raise _named(problem, path) from problem


def erase_again(config: Config, store: Store, now: float) -> dict[str, ErasureReport]:
    """Erase everybody on the list whom this state does not know as erased; return what was found, by hash.

    Whom the state knows goes onto the list where it is not there.
    """
    path = config.erasures_path
    with store.reading() as view:
        rows = view.execute(
            "SELECT user_hash, at FROM erased WHERE policy = ?", (config.policy,)
        ).fetchall()
    known = dict[str, float](rows)
    note_erased(path, config.policy, known)
    listed = read_listed(path, config.policy)
    return {one: erase_person(config, store, one, now) for one in listed if one not in known}


def forget_listed(config: Config, store: Store, now: float) -> None:
    """Do what `erase_again` does, and log it: before a daemon takes in anything."""
    for user_hash, found in erase_again(config, store, now).items():
        log.warning(
            "erased_again",
            user=user_hash,
            generations=found.generations,
            learned=list(found.learned),
            batches_waiting=list(found.batches_waiting),
        )


def _append(path: Path, lines: bytes) -> None:
    new = not path.exists()
    with path.open("ab+") as file:
        # Several policies, and commands beside their daemons, may have one list: what is cut off below
        # must not be what another one has just written.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        whole = file.read()
        # What was cut off at its end goes: nothing was erased after it.
        file.truncate(whole.rfind(b"\n") + 1)
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    if new:
        path.chmod(0o600)
        _give_to_owner(path)
        fsync(path.parent)


def _give_to_owner(path: Path) -> None:
    """Where root begins a list in the folder of another user, that one is to go on with it."""
    owner = path.parent.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def _named(problem: OSError, path: Path) -> OSError:
    number = problem.errno or 0
    return OSError(number, os.strerror(number), f"erasures: {path}")
