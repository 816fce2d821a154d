"""The lease: one daemon in charge of a policy, and no doubt about which (CONTRACTS 24)."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lone_daemon import BATCH, Workshop
from places_by_hand import new_schema

from rlwd.streams.open import open_store as open_place
from rlwd.streams.state import lease, this_host
from rlwd.streams.state.lease import (
    LeasedStore,
    LeaseHeld,
    LeaseLost,
    read_holder,
    release_lease,
    renew_lease,
    take_lease,
)
from rlwd.streams.state.sqlite import SqliteStore

OTHER = """
import sys, time
from pathlib import Path
from rlwd.streams.state import lease, this_host
from rlwd.streams.state.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]), {"daemon": lease.MIGRATIONS})
print(lease.take_lease(store, "policy", time.time()).epoch, flush=True)
sys.stdin.read()
"""


def open_store(folder: Path) -> SqliteStore:
    return SqliteStore(folder / "rlwd.db", {"daemon": lease.MIGRATIONS})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A state database with the lease's table."""
    opened = open_store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def other(store: SqliteStore) -> Iterator["subprocess.Popen[str]"]:
    """Another process that is in charge, as the first ever."""
    command = [sys.executable, "-c", OTHER, str(store.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        yield process
        process.kill()


def test_the_second_is_refused_and_told_who_is_first(
    store: SqliteStore, other: "subprocess.Popen[str]"
) -> None:
    """While a daemon lives another one does not start, however long the first was silent."""
    for later in (0.0, 1e6):
        with pytest.raises(LeaseHeld, match=rf"controlled by process {other.pid} on .*epoch 1"):
            take_lease(store, "policy", time.time() + later)


def test_a_dead_holder_is_followed_at_once(
    store: SqliteStore, other: "subprocess.Popen[str]"
) -> None:
    """A daemon that was killed a moment ago holds nobody up, and its epoch is over."""
    now = time.time()
    other.kill()
    other.wait()
    held = take_lease(store, "policy", now)
    assert held.epoch == 2


def test_a_zombie_is_dead(store: SqliteStore, other: "subprocess.Popen[str]") -> None:
    """A process that ended but was not waited for is in charge of nothing."""
    other.kill()
    deadline = time.monotonic() + 10.0
    state = Path(f"/proc/{other.pid}/stat")
    while state.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
    assert take_lease(store, "policy", time.time()).epoch == 2


def test_a_pid_given_to_another_program_is_not_the_holder(store: SqliteStore) -> None:
    """The same number with another start is another process."""
    take_lease(store, "policy", 100.0)
    with store.transaction() as tx:
        tx.execute("UPDATE leases SET started = '1'")
    assert take_lease(store, "policy", 101.0).epoch == 2


def test_another_host_is_believed_for_a_while(store: SqliteStore) -> None:
    """A holder elsewhere cannot be asked: it keeps the lease until it was silent for 30 s."""
    take_lease(store, "policy", 100.0)
    with store.transaction() as tx:
        tx.execute("UPDATE leases SET host = 'elsewhere'")
    with pytest.raises(LeaseHeld, match=r"on elsewhere \(epoch 1, seen 29 s ago\)"):
        take_lease(store, "policy", 129.0)
    assert take_lease(store, "policy", 131.0).epoch == 2


def test_another_host_of_the_same_name_cannot_be_asked(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cloned hosts may all be called `localhost`: that no process here has the holder's number says nothing.

    A daemon of an older rlwd wrote the name alone, and is asked by it as it was.
    """
    monkeypatch.setattr(this_host, "BOOT_ID", tmp_path / "boot")
    (tmp_path / "boot").write_text("11111111-one\n")
    take_lease(store, "policy", 100.0)
    with store.transaction() as tx:
        tx.execute("UPDATE leases SET pid = ?", (2**22 + 1,))
    (tmp_path / "boot").write_text("22222222-two\n")
    called = socket.gethostname()
    with pytest.raises(LeaseHeld, match=rf"on {called} \(epoch 1, seen 29 s ago\)"):
        take_lease(store, "policy", 129.0)
    with store.reading() as view:
        holder = read_holder(view, "policy", 129.0)
    assert holder is not None
    assert (holder.host, holder.alive) == (called, True)
    (tmp_path / "boot").write_text("11111111-one\n")
    assert take_lease(store, "policy", 129.0).epoch == 2
    with store.transaction() as tx:
        tx.execute("UPDATE leases SET host = ?, pid = ?", (called, 2**22 + 1))
    assert take_lease(store, "policy", 129.0).epoch == 3


CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
"""A command for a process of a container: it has the name and the kernel of the others, and process 1 is its own."""


@pytest.fixture
def contained(store: SqliteStore) -> Iterator["subprocess.Popen[str]"]:
    """A process of a container of this host's name, in charge as the first ever."""
    if subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nobody may make a container's namespaces here")
    command = [*CONTAINER, sys.executable, "-c", OTHER, str(store.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        yield process
        process.kill()


def test_a_container_of_the_same_name_cannot_be_asked(
    store: SqliteStore, contained: "subprocess.Popen[str]"
) -> None:
    """Its process 1 is not ours, nor that of a third one: it is believed for 30 s, living or killed."""
    called = socket.gethostname()
    now = time.time()
    with pytest.raises(LeaseHeld, match=rf"controlled by process 1 on {called} \(epoch 1"):
        take_lease(store, "policy", now)
    third = [*CONTAINER, sys.executable, "-c", OTHER, str(store.path)]
    done = subprocess.run(
        third, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert "LeaseHeld" in done.stderr, done.stdout
    contained.kill()
    contained.wait()
    with pytest.raises(LeaseHeld):
        take_lease(store, "policy", now + 20.0)
    assert take_lease(store, "policy", now + 40.0).epoch == 2


def test_who_is_in_a_container_takes_nobody_of_an_older_rlwd_for_dead(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name alone does not say whose processes these were; its own row, of before a restart, it can judge."""
    (tmp_path / "pid").symlink_to("pid:[4026532000]")
    monkeypatch.setattr(this_host, "NAMESPACES", tmp_path)
    take_lease(store, "policy", 100.0)
    gone = 2**22 + 1
    with store.transaction() as tx:
        tx.execute("UPDATE leases SET host = ?, pid = ?", (socket.gethostname(), gone))
    with pytest.raises(LeaseHeld):
        take_lease(store, "policy", 129.0)
    assert take_lease(store, "policy", 131.0).epoch == 2
    with store.transaction() as tx:
        tx.execute("UPDATE leases SET pid = ?", (gone,))
    assert take_lease(store, "policy", 132.0).epoch == 3


def test_a_host_whose_clock_was_far_ahead_holds_nothing_until_then(store: SqliteStore) -> None:
    """Seen a year from now it is followed at once; a few minutes ahead it is believed."""
    now = 1000.0
    take_lease(store, "policy", now + 300)
    with store.transaction() as tx:
        tx.execute("UPDATE leases SET host = 'elsewhere'")
    with pytest.raises(LeaseHeld, match="on elsewhere"):
        take_lease(store, "policy", now)
    with store.transaction() as tx:
        tx.execute("UPDATE leases SET seen = ?", (now + 366 * 86400,))
    assert take_lease(store, "policy", now).epoch == 2


def test_the_epoch_only_grows(store: SqliteStore) -> None:
    """Letting go and taking again never gives an old epoch back."""
    epochs = []
    for now in range(3):
        held = take_lease(store, "policy", float(now))
        epochs.append(held.epoch)
        release_lease(store, held)
    assert epochs == [1, 2, 3]


def test_who_was_replaced_notices(store: SqliteStore) -> None:
    """A daemon that wakes up after another one took over may not go on, nor end its lease."""
    first = take_lease(store, "policy", 100.0)
    with store.transaction() as tx:
        renew_lease(tx, first, 105.0)
        tx.execute("UPDATE leases SET host = 'elsewhere'")
    second = take_lease(store, "policy", 200.0)
    with store.transaction() as tx, pytest.raises(LeaseLost, match="epoch 1 is over"):
        renew_lease(tx, first, 201.0)
    release_lease(store, first)
    with pytest.raises(LeaseHeld, match="epoch 2"):
        take_lease(store, "policy", 202.0)
    with store.transaction() as tx:
        renew_lease(tx, second, 203.0)


def test_policies_do_not_share_a_lease(store: SqliteStore) -> None:
    """Being in charge of one policy says nothing about another."""
    take_lease(store, "policy", 100.0)
    assert take_lease(store, "other", 100.0).epoch == 1


def test_people_can_see_who_is_in_charge(store: SqliteStore) -> None:
    """Nobody, this process, and then nobody again."""
    with store.reading() as view:
        assert read_holder(view, "policy", 100.0) is None
    held = take_lease(store, "policy", 100.0)
    with store.reading() as view:
        holder = read_holder(view, "policy", 101.0)
    assert holder is not None
    assert (holder.pid, holder.epoch, holder.seen, holder.alive) == (os.getpid(), 1, 100.0, True)
    release_lease(store, held)
    with store.reading() as view:
        after = read_holder(view, "policy", 102.0)
    assert after is not None
    assert (after.epoch, after.alive) == (1, False)


def test_no_transaction_outlives_its_lease(store: SqliteStore) -> None:
    """Once another daemon took over, nothing can be written, and the error says who is in charge."""
    first = take_lease(store, "policy", 100.0)
    leased = LeasedStore(store, first)
    with leased.transaction() as tx:
        tx.execute("UPDATE leases SET host = 'elsewhere'")
    second = take_lease(store, "policy", 200.0)
    wanted = rf"epoch 1 is over: process {os.getpid()} on .* is in charge \(epoch 2\)"
    with pytest.raises(LeaseLost, match=wanted), leased.transaction():
        raise AssertionError("a transaction of a lease that is over")
    with leased.reading() as view:
        assert view.execute("SELECT epoch FROM leases").fetchone() == (2,)
    release_lease(store, second)
    with (
        pytest.raises(LeaseLost, match="epoch 1 is over: nobody is in charge"),
        leased.transaction(),
    ):
        raise AssertionError("a transaction of a lease that is over")


def test_nobody_takes_over_while_a_transaction_is_open(postgres_url: str) -> None:
    """On a server, where many write at once, taking over waits for what the holder began."""
    url, migrations = new_schema(postgres_url), {"lease": lease.MIGRATIONS}
    ours, theirs = open_place(url, migrations), open_place(url, migrations)
    leased = LeasedStore(ours, take_lease(ours, "policy", 100.0))
    taken: list[int] = []
    other = threading.Thread(target=lambda: taken.append(take_lease(theirs, "policy", 200.0).epoch))
    with leased.transaction() as tx:
        tx.execute("UPDATE leases SET host = 'elsewhere'")
        other.start()
        blocked, deadline = 0, time.monotonic() + 20.0
        while not blocked:
            assert time.monotonic() < deadline, "nobody waits"
            with ours.reading() as view:
                sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                (blocked,) = view.execute(sql).fetchone()
        assert taken == []
    other.join(30.0)
    assert taken == [2]
    with pytest.raises(LeaseLost), leased.transaction():
        raise AssertionError("a transaction of a lease that is over")
    ours.close()
    theirs.close()


@pytest.fixture
def shop(tiny_policy: Path, tmp_path: Path) -> Iterator[Workshop]:
    """A state of its own; a daemon on it spends its time waiting for records."""
    made = Workshop(tmp_path, tiny_policy, passes=1, poll_seconds=1.0)
    yield made
    made.close()


def test_a_daemon_that_wakes_up_after_its_lease_writes_nothing(shop: Workshop) -> None:
    """Paused in mid-turn and replaced, it ends naming the holder before it seals a batch.

    It knows of a learner that asks and finds a batch's worth of episodes: without its lease being
    part of the transaction it would seal them. The other daemon cannot, since the paused one's
    learner still holds the folder. Both run on one host, so the lease's row is made to say what a
    host that cannot be asked looks like.
    """
    first = shop.daemon("first")
    first.start()
    shop.until(lambda: first.live.get("learner") == "waiting for episodes")
    assert first.process is not None
    os.kill(first.process.pid, signal.SIGSTOP)
    shop.ask("UPDATE leases SET host = 'elsewhere', seen = 0")
    shop.say()
    second = shop.daemon("second")
    second.start()
    shop.until(
        lambda: shop.ask("SELECT COUNT(*) FROM episodes WHERE stage = 'ready'") == [(BATCH,)]
    )
    os.kill(first.process.pid, signal.SIGCONT)
    assert first.process.wait(300) == 1, "a unit is to start it again"
    assert shop.ask("SELECT COUNT(*) FROM batches") == [(0,)]
    said = first.tail(1)
    assert "epoch 1 is over: process " in said
    assert second.process is not None
    assert f"process {second.process.pid} on " in said
    shop.until(lambda: shop.ask("SELECT state FROM batches") == [("applied",)])
    assert [one.lease_epoch for one in shop.manifests] == [2]
    assert shop.status()["fates"] == {"trained": BATCH}
