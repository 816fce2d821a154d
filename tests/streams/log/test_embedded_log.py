"""What only the embedded log has: many processes on one file, durable commits, trimming.

The rest is in test_source.py, which both logs pass.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from rlwd.streams.log.embedded_log import EmbeddedLog, EmbeddedSink, EmbeddedSource
from rlwd.streams.log.log_file import partition_of
from rlwd.streams.log.ports import Partition

WRITER = """
import sys
from pathlib import Path
from rlwd.streams.log.embedded_log import EmbeddedSink
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sink = EmbeddedSink(path)
for number in range(count):
    sink.send("t", name, b"%d" % number)
    if number % 10 == 9:
        sink.flush(30.0)
        print(number, flush=True)
sys.stdin.read()
"""


def writer(path: Path, name: str, count: int) -> "subprocess.Popen[bytes]":
    """A process that writes so many records of one key, ten at a time, and then waits."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def read_all(path: Path, count: int) -> dict[bytes | None, list[int]]:
    """Values of the first so many records, by key, in the order they came."""
    source = EmbeddedSource(path, ["t"], lambda partitions: {})
    values: dict[bytes | None, list[int]] = {}
    got = 0
    while got < count and (records := source.poll(2.0, 100)):
        got += len(records)
        for record in records:
            values.setdefault(record.key, []).append(int(record.value))
    source.close()
    return values


def test_many_processes_write_at_once(tmp_path: Path) -> None:
    """Four writers start together on a new file; every record of each is there, in its order."""
    path = tmp_path / "log.db"
    writers = [writer(path, f"w{number}", 200) for number in range(4)]
    for process in writers:
        process.communicate(b"", timeout=300)
        assert process.returncode == 0
    assert read_all(path, 800) == {f"w{n}".encode(): list(range(200)) for n in range(4)}


def test_what_was_flushed_survives_a_kill(tmp_path: Path) -> None:
    """A writer killed at once loses nothing that its flush had returned for."""
    path = tmp_path / "log.db"
    process = writer(path, "w", 100_000)
    assert process.stdout is not None
    assert process.stdin is not None
    flushed = [int(process.stdout.readline()) for _ in range(5)][-1]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stdin.close()
    values = read_all(path, flushed + 1)[b"w"]
    assert values == list(range(len(values)))
    assert len(values) > flushed


def test_a_flush_that_cannot_write_raises_and_the_next_one_does(tmp_path: Path) -> None:
    """While another process holds the file the records stay queued; nothing is written twice."""
    path = tmp_path / "log.db"
    sink = EmbeddedSink(path)
    sink.send("t", "w", b"0")
    sink.flush(5.0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    sink.send("t", "w", b"1")
    with pytest.raises(ConnectionError, match="1 records not written: database is locked"):
        sink.flush(0.05)
    sink.send("t", "w", b"2")
    other.execute("ROLLBACK")
    other.close()
    sink.flush(5.0)
    sink.flush(5.0)
    sink.close()
    assert read_all(path, 4) == {b"w": [0, 1, 2]}


def test_a_full_queue_refuses(tmp_path: Path) -> None:
    """What nobody flushes does not grow without bound; a flush makes room again."""
    sink = EmbeddedSink(tmp_path / "log.db", max_queued_bytes=10)
    sink.send("t", "k", b"12345678")
    with pytest.raises(ConnectionError, match="the queue is full"):
        sink.send("t", "k", b"9")
    sink.flush(5.0)
    sink.send("t", "k", b"9")
    sink.close()


def test_a_file_that_cannot_be_opened_is_a_connection_error(tmp_path: Path) -> None:
    """A file that is no database, and a folder that cannot be made, say which file it is."""
    (tmp_path / "text").write_text("no database at all, but long enough to look at" * 10)
    for path in (tmp_path / "text", tmp_path / "text" / "log.db"):
        with pytest.raises(ConnectionError, match=r"embedded log .*text"):
            EmbeddedLog(path)


def test_a_topic_keeps_its_partitions(tmp_path: Path) -> None:
    """Asking for another number later changes nothing, so no key ever moves."""
    log = EmbeddedLog(tmp_path / "log.db")
    log.create_topic("t", 2)
    log.create_topic("t", 8)
    assert [lane.partition.index for lane in log.lanes(["t"])] == [0, 1]
    with pytest.raises(ValueError, match="partitions: 0 of topic u"):
        log.create_topic("u", 0)
    log.close()


@pytest.mark.parametrize(
    ("key", "of_four"), [("123456789", 2), ("s1", 0), ("session-42", 1), ("süß", 2)]
)
def test_the_hash_of_keys_is_pinned(key: str, of_four: int) -> None:
    """A file written by an older build keeps its keys; the first is CRC-32's own check value."""

    assert partition_of(key.encode(), 4) == of_four


def test_trimming_forgets_what_is_below_and_nothing_else(tmp_path: Path) -> None:
    """Over several transactions; past the end, or of an unknown partition, is refused."""
    path = tmp_path / "log.db"
    sink = EmbeddedSink(path, partitions=1)
    for number in range(12_000):
        sink.send("t", "w", b"%d" % number)
        sink.send("u", "w", b"other")
    sink.flush(30.0)
    log = EmbeddedLog(path)
    where = Partition(topic="t", index=0)
    log.trim(where, 11_990)
    log.trim(where, 5)
    for partition, before in ((where, 12_001), (Partition(topic="t", index=7), 0)):
        with pytest.raises(ValueError, match="does not reach"):
            log.trim(partition, before)
    assert log.database.execute("SELECT COUNT(*) FROM record").fetchone() == (12_010,)
    sink.close()
    log.close()
    assert read_all(path, 10) == {b"w": list(range(11_990, 12_000))}


def test_published_offsets_are_there_for_people(tmp_path: Path) -> None:
    """The file shows how far the store is; a locked file makes nobody wait for it."""
    path = tmp_path / "log.db"
    source = EmbeddedSource(path, ["t"], lambda partitions: {})
    source.poll(0.0, 1)
    where = Partition(topic="t", index=1)
    source.publish({where: 3, Partition(topic="elsewhere", index=0): 9})
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    source.publish({where: 4})
    rows = other.execute("SELECT number, published FROM lane ORDER BY number").fetchall()
    other.close()
    source.close()
    assert rows == [(0, None), (1, 3), (2, None), (3, None)]
