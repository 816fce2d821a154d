"""A folder that is removed, a disk that is full: nothing acknowledged is lost, and losses are counted."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from rlwd.daemon.spool.forwarder import Forwarder
from rlwd.daemon.spool.lost import HALF_BYTES, NAME, LostCounts, read_lost
from rlwd.daemon.spool.spool import Kind, Spool

LABEL = "rlwd.generations|2026-11-21|champion"


class FakeLog:
    """Keeps what was flushed, in order."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self.before_flush: Callable[[], None] = lambda: None

    def __call__(self) -> "FakeLog":
        return self

    def send(self, topic: str, key: str, value: bytes) -> None:
        self.values.append(value.decode())

    def flush(self, timeout_seconds: float) -> None:
        self.before_flush()

    def close(self) -> None:
        pass


def put(spool: Spool, name: str, kind: Kind = Kind.GENERATION) -> None:
    spool.append(kind, "s1", name, LABEL, f"{kind.name} {name}".encode())


def drain(spool: Spool, log: FakeLog | None = None) -> list[str]:
    log = log or FakeLog()
    forwarder = Forwarder(spool, log, batch=7)
    while forwarder.step():
        pass
    return log.values


def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk take nothing that needs room."""

    def write(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write)


def test_a_removed_folder_is_made_again_with_all_it_held(tmp_path: Path) -> None:
    """Unsent records, open admissions and counts outlive the removal, and a kill after it."""
    here = Spool(tmp_path / "spool", 1 << 20, 1 << 12)
    for number in range(200):
        put(here, f"{number:03d}")
    put(here, "open", Kind.ADMISSION)
    here.count_lost(Counter({LABEL: 3}))
    shutil.rmtree(tmp_path / "spool")
    put(here, "after")
    assert here.restored == 1
    # As after a kill: the next life reads what is on disk.
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "spool", copy)
    again = Spool(copy, 1 << 20, 1 << 12)
    expected = [f"GENERATION {n:03d}" for n in range(200)]
    assert drain(again) == [*expected, "GENERATION after", "ADMISSION open"]
    assert again.tombstones == Counter({LABEL: 3})
    assert drain(here) == [*expected, "GENERATION after"]
    again.close()
    here.close()


def test_a_folder_removed_while_sending_loses_nothing(tmp_path: Path) -> None:
    """Records on their way when the folder goes are sent, perhaps twice."""
    here, log = Spool(tmp_path / "spool", 1 << 20, 1 << 12), FakeLog()
    for number in range(20):
        put(here, f"{number:03d}")
    removed = iter([True])

    def remove() -> None:
        if next(removed, False):
            shutil.rmtree(tmp_path / "spool")
            put(here, "meanwhile")

    log.before_flush = remove
    sent = drain(here, log)
    assert set(sent) == {*(f"GENERATION {n:03d}" for n in range(20)), "GENERATION meanwhile"}
    assert here.unsent == 0
    here.close()


def test_a_folder_that_cannot_be_made_again_refuses(tmp_path: Path) -> None:
    """Where it cannot be made, a record is refused and none of the earlier ones is forgotten."""
    here = Spool(tmp_path / "spool", 1 << 20)
    put(here, "a")
    shutil.rmtree(tmp_path / "spool")
    (tmp_path / "spool").write_text("in the way")
    with pytest.raises(OSError, match="spool"):
        put(here, "b", Kind.FEEDBACK)
    (tmp_path / "spool").unlink()
    put(here, "c")
    assert drain(here) == ["GENERATION a", "GENERATION c"]
    here.close()


def test_what_a_full_disk_did_not_take_is_counted_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Served and not written is counted once, on disk; refused feedback is not, its sender knows."""
    here = Spool(tmp_path, 1 << 20)
    put(here, "cut", Kind.ADMISSION)
    with monkeypatch.context() as patch:
        full(patch)
        for name, kind in (
            ("whole", Kind.GENERATION),
            ("streamed", Kind.ADMISSION),
            ("streamed", Kind.GENERATION),
            ("late", Kind.ADMISSION),
            ("cut", Kind.GENERATION),
            ("f", Kind.FEEDBACK),
        ):
            with pytest.raises(OSError, match="space"):
                put(here, name, kind)
        assert read_lost(tmp_path) == Counter({LABEL: 3})
    put(here, "late")
    assert read_lost(tmp_path) == Counter({LABEL: 2})
    assert drain(here) == ["GENERATION late", "ADMISSION cut"]
    here.close()


WRITER = """
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from rlwd.daemon.spool.lost import LostCounts
counts = LostCounts(Path(sys.argv[1]))
while True:
    counts.add(Counter({"t|2026-11-21|champion": 1}))
    print(flush=True)
"""


def test_a_kill_while_counting_leaves_a_count(tmp_path: Path) -> None:
    """After SIGKILL the count is the last one that was told, or one more."""
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(300):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    told = 300 + child.stdout.read().count(b"\n")
    child.wait()
    child.stdout.close()
    assert read_lost(tmp_path).total() in (told, told + 1)


def test_a_damaged_half_leaves_the_other(tmp_path: Path) -> None:
    """A torn write is not believed; the count before it is."""
    counts = LostCounts(tmp_path)
    for _ in range(3):
        counts.add(Counter({LABEL: 1}))
    counts.close()
    raw = bytearray((tmp_path / NAME).read_bytes())
    raw[4 % 2 * HALF_BYTES + 20] ^= 1
    (tmp_path / NAME).write_bytes(raw)
    assert read_lost(tmp_path).total() in (2, 3)
    assert LostCounts(tmp_path).counts == read_lost(tmp_path)


def test_years_of_days_fit(tmp_path: Path) -> None:
    """However many days and variants, the file keeps its size and the sum is right."""
    counts = LostCounts(tmp_path)
    for year in range(2020, 2026):
        for day in range(1, 29):
            for month in range(1, 13):
                label = f"rlwd.generations|{year}-{month:02d}-{day:02d}|champion"
                counts.add(Counter({label: 1}))
    assert read_lost(tmp_path).total() == 6 * 28 * 12
    assert (tmp_path / NAME).stat().st_size == 2 * HALF_BYTES
    counts.close()


def test_tombstones_of_older_versions_are_counted_on(tmp_path: Path) -> None:
    """What 0.1.0 counted in its own file is not forgotten."""
    (tmp_path / "tombstones.json").write_text(f'{{"{LABEL}": 5}}')
    here = Spool(tmp_path, 1 << 20)
    here.count_lost(Counter({LABEL: 1}))
    here.close()
    assert read_lost(tmp_path) == Counter({LABEL: 6})
