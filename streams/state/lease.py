"""Lease: the control role is one; a second daemon refuses, naming the holder (CONTRACTS 23, 24).

Renewing now and then tells others that the holder lives. It does not fence: a daemon that was paused
past its lease wakes up in the middle of a turn. So each of its transactions holds the lease itself.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .store import Store
from .this_host import boot, host_name, process_space
from .transaction import Transaction, row_lock

MIGRATIONS = (
    """
CREATE TABLE leases (
    policy TEXT NOT NULL, role TEXT NOT NULL, epoch INTEGER NOT NULL,
    host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL, seen REAL NOT NULL,
    PRIMARY KEY (policy, role))
""",
)

EXPIRES_SECONDS = 30.0
"""A holder on another host, or in another container, that was not seen for so long has lost the lease."""
AHEAD_SECONDS = 3600.0
"""One that was seen so far in the future had a wrong clock, and cannot hold it until then."""


class LeaseHeld(RuntimeError):
    """Another daemon is in charge; the message names it."""


class LeaseLost(RuntimeError):
    """Another daemon took over while this one was silent; going on would be two in charge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Proof that this daemon is the one in control."""

    policy: str
    """Name of the policy."""
    epoch: int
    """Grows with every taking; a learner of an older epoch may not publish."""


def take_lease(store: Store, policy: str, now: float) -> Lease:
    """Take control of a policy.

    Raises LeaseHeld, naming host and process, where another daemon lives.
    """
    pid = os.getpid()
    with store.transaction() as tx:
        # A row to lock, so that of two that start at once on a server the second sees the first.
        tx.execute(
            "INSERT INTO leases (policy, role, epoch, host, pid, started, seen)"
            " VALUES (?, 'control', 0, '', 0, '', 0) ON CONFLICT (policy, role) DO NOTHING",
            (policy,),
        )
        row = tx.execute(
            "SELECT epoch, host, pid, started, seen FROM leases"
            " WHERE policy = ? AND role = 'control'" + row_lock(tx),
            (policy,),
        ).fetchone()
        if _lives(row, now):
            raise LeaseHeld(
                f"policy {policy!r} is controlled by process {row[2]} on {_name_of(row[1])} (epoch {row[0]},"
                f" seen {now - row[4]:.0f} s ago): stop it first, or give this daemon another state"
            )
        epoch = 1 + row[0]
        tx.execute(
            "UPDATE leases SET epoch = ?, host = ?, pid = ?, started = ?, seen = ?"
            " WHERE policy = ? AND role = 'control'",
            (epoch, _this_host(), pid, _process_start(pid), now, policy),
        )
    return Lease(policy=policy, epoch=epoch)


def refuse_beside_holder(tx: Transaction, name: str, now: float) -> None:
    """Raise LeaseHeld, naming it, where a daemon lives, of whatever policy: its tables may not be migrated.

    It was made for the tables as they are; who restarts it with this rlwd has them migrated first.
    """
    rows = tx.execute("SELECT epoch, host, pid, started, seen FROM leases").fetchall()
    for row in rows:
        if _lives(row, now):
            raise LeaseHeld(
                f"{name} has tables of an older rlwd, and process {row[2]} on {_name_of(row[1])} works on"
                " them: restart it first: this rlwd migrates them when it starts in its place"
            )


def hold_lease(tx: Transaction, lease: Lease) -> None:
    """Let no other daemon take over until the transaction ends.

    Raises LeaseLost, naming who is in charge now, where another daemon took over before.
    """
    row = tx.execute(
        "SELECT epoch, host, pid FROM leases WHERE policy = ? AND role = 'control'" + row_lock(tx),
        (lease.policy,),
    ).fetchone()
    if row is None or row[0] != lease.epoch:
        epoch, host, pid = row or (0, "", 0)
        successor = f"process {pid} on {_name_of(host)}" if pid else "nobody"
        raise LeaseLost(
            f"policy {lease.policy!r}: epoch {lease.epoch} is over: {successor} is in charge"
            f" (epoch {epoch})"
        )


def keep_daemon_waiting(tx: Transaction, policy: str) -> None:
    """Let the daemon in control wait until this transaction ends; for an operator's command.

    Without it, on a server, a transaction that the daemon began earlier could overwrite what the
    operator decides here.
    """
    tx.execute(
        "SELECT 1 FROM leases WHERE policy = ? AND role = 'control'" + row_lock(tx), (policy,)
    ).fetchone()


def renew_lease(tx: Transaction, lease: Lease, now: float) -> None:
    """Record that this daemon lives; raises LeaseLost where another one took over."""
    hold_lease(tx, lease)
    tx.execute(
        "UPDATE leases SET seen = ? WHERE policy = ? AND role = 'control'", (now, lease.policy)
    )


def release_lease(store: Store, lease: Lease) -> None:
    """Give the lease back, so that the next daemon need not wait; the epoch only grows."""
    with store.transaction() as tx:
        tx.execute(
            "UPDATE leases SET seen = 0, pid = 0 WHERE policy = ? AND epoch = ?",
            (lease.policy, lease.epoch),
        )


class LeasedStore:
    """The state database of the daemon in control: each transaction holds the lease.

    A transaction raises LeaseLost, before it changes anything, once another daemon took over; while
    one is open no other daemon can take over.
    """

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store, self._lease = store, lease

    @property
    def name(self) -> str:
        """Name of the database underneath."""
        return self._store.name

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Yield a transaction that holds the lease, and commits or leaves no trace."""
        with self._store.transaction() as tx:
            hold_lease(tx, self._lease)
            yield tx

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Yield a consistent view; it decides nothing, so it may be of any epoch."""
        with self._store.reading() as view:
            yield view

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who took a lease last."""

    host: str
    """Host of the process."""
    pid: int
    """Its number there; 0 where it let go."""
    epoch: int
    """Grows with every taking."""
    seen: float
    """Epoch seconds at which it last said that it lives; 0 where it let go."""
    alive: bool
    """Whether a daemon that starts now would be refused."""


def read_holder(view: Transaction, policy: str, now: float) -> Holder | None:
    """Return who is, or was last, in charge of a policy; None where nobody ever was."""
    row = view.execute(
        "SELECT epoch, host, pid, started, seen FROM leases WHERE policy = ? AND role = 'control'",
        (policy,),
    ).fetchone()
    if row is None:
        return None
    epoch, host, pid, _, seen = row
    alive = _lives(row, now)
    return Holder(host=_name_of(host), pid=pid, epoch=epoch, seen=seen, alive=alive)


def _this_host() -> str:
    """Return the host as its row has it: its name, and which of all that are called so.

    Of a container whose processes can be asked from within it alone.
    """
    return " ".join(filter(None, (host_name(), boot(), process_space())))


def _name_of(host: str) -> str:
    return host.partition(" ")[0]


def _lives(row: tuple[int, str, int, str, float], now: float) -> bool:
    _, host, pid, started, seen = row
    if pid == 0:
        return False
    # An older rlwd wrote the name alone; in a container its processes may be another one's.
    ours = (_this_host(),) if process_space() else (_this_host(), host_name())
    if host in ours:
        # The same host can be asked; a pid that was given to another program started later.
        return _process_start(pid) == started != ""
    return -AHEAD_SECONDS < now - seen < EXPIRES_SECONDS


def _process_start(pid: int) -> str:
    """Return when a process started, in clock ticks since boot, or nothing where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
