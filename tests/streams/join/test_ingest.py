"""One poll is one transaction; whatever refuses it, what was polled is read again (CONTRACTS 15, 16)."""

import gc
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from daemon_by_hand import open_daemon_ledger
from ledger_by_hand import Ledger, generation

from rlwd.streams.join.arrival import NewArrivals
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.join.offsets import PollCounts, advance_offset, load_offsets, watermark
from rlwd.streams.log.embedded_log import EmbeddedSink, EmbeddedSource
from rlwd.streams.log.ports import Partition
from rlwd.streams.open import open_store
from rlwd.streams.state.transaction import Transaction

TOPICS = ("generations", "feedback")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The daemon's tables."""
    opened = open_daemon_ledger(tmp_path / "rlwd.db")
    yield opened
    opened.store.close()


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[EmbeddedSink]:
    """Where records are written."""
    opened = EmbeddedSink(tmp_path / "log.db", partitions=2)
    yield opened
    opened.close()


@pytest.fixture
def ingest(ledger: Ledger, sink: EmbeddedSink, tmp_path: Path) -> Iterator[Ingest]:
    """Reads what was written, two partitions of each topic."""
    opens = partial(EmbeddedSource, tmp_path / "log.db", TOPICS, partitions=2)
    made = Ingest(ledger.store, ledger.joiner, opens)
    yield made
    made.source.close()


def write(sink: EmbeddedSink, numbers: range) -> None:
    for number in numbers:
        sink.send("generations", f"s{number}", generation(f"g{number}", 1000.0 + number))
    sink.flush(10.0)


def test_what_one_partition_was_refused_for_is_read_again_on_all(
    ledger: Ledger, sink: EmbeddedSink, ingest: Ingest
) -> None:
    """Another process moved one offset: the poll's other records were never stored, and come again."""
    first = Partition(topic="generations", index=0)
    ingest.step(1.0, 0.0, 100)
    write(sink, range(40))
    with ledger.store.transaction() as tx:
        tally = PollCounts(start=0, end=1, delivered=0)
        advance_offset(tx, "policy", first, tally, ledger.joiner.owner)
    assert ingest.step(2.0, 0.0, 100).counts.delivered == 0
    assert ingest.step(3.0, 0.0, 100).counts.delivered == 39, "all but the one that was moved over"
    with ledger.store.reading() as view:
        ends = load_offsets(view, "policy")
    assert sum(ends[Partition(topic="generations", index=index)] for index in (0, 1)) == 40


def test_no_record_stops_the_reading(ledger: Ledger, sink: EmbeddedSink, ingest: Ingest) -> None:
    """Whatever bytes somebody writes to a topic, they are refused by name and the next record is read."""
    nested = b"[" * 100_000 + b"]" * 100_000
    for value in (b"\xff", b'{"dataref": "\xff"}', b'{"dataref": "a", "x": %s}' % nested):
        sink.send("generations", "s1", value)
    write(sink, range(1, 2))
    ingest.step(1.0, 0.0, 100)
    with ledger.store.reading() as view:
        assert view.execute("SELECT COUNT(*) FROM dead_letters").fetchone() == (3,)
        assert view.execute("SELECT generation_id FROM episodes").fetchall() == [("g1",)]


def test_a_partition_that_was_claimed_by_another_is_let_go(
    ledger: Ledger, sink: EmbeddedSink, ingest: Ingest
) -> None:
    """The old reader takes nothing in any more, nor does it take the partition back."""
    write(sink, range(10))
    ingest.step(1.0, 0.0, 4)
    with ledger.store.transaction() as tx:
        tx.execute("UPDATE offsets SET owner = 'another'")
    before = ledger.ask("SELECT SUM(next), SUM(delivered), MAX(read_past) FROM offsets")
    for now in (2000.0, 3000.0, 4000.0):
        assert ingest.step(now, 0.0, 100).counts.delivered == 0
    assert ledger.ask("SELECT SUM(next), SUM(delivered), MAX(read_past) FROM offsets") == before
    assert ledger.ask("SELECT COUNT(*) FROM offsets WHERE owner <> 'another'") == (0,)


def test_a_partition_that_nobody_read_holds_the_watermark(ledger: Ledger, ingest: Ingest) -> None:
    """All partitions are known from the first step on; read to their ends, the mark is that time."""
    with ledger.store.transaction() as tx:
        ledger.joiner.resume(tx, [Partition(topic="generations", index=9)])
    ingest.step(50.0, 0.0, 100)
    with ledger.store.reading() as view:
        assert watermark(view, "policy") == 0.0
    with ledger.store.transaction() as tx:
        tx.execute("DELETE FROM offsets WHERE partition = 9")
    ingest.step(60.0, 0.0, 100)
    with ledger.store.reading() as view:
        assert watermark(view, "policy") == 60.0
        assert len(load_offsets(view, "policy")) == 4, "an empty partition was read too"


def test_a_url_names_a_server_and_a_path_a_file(tmp_path: Path) -> None:
    """A server that does not answer is a ConnectionError, and no file is made for its URL."""
    with pytest.raises(ConnectionError, match=r"postgresql 127\.0\.0\.1:1/state"):
        open_store("postgresql://127.0.0.1:1/state")
    open_store(str(tmp_path / "state.db")).close()
    assert (tmp_path / "state.db").exists()


@pytest.mark.parametrize("fails", [False, True])
def test_python_collects_between_polls_and_not_within_one(
    sink: EmbeddedSink, ingest: Ingest, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector is off while a poll is taken in, and as it was afterwards, whatever came."""
    seen: list[bool] = []
    real = ingest.joiner.settle

    def settle(tx: Transaction, taken: NewArrivals, now: float) -> int:
        seen.append(gc.isenabled())
        if fails:
            raise RuntimeError("disk")
        return real(tx, taken, now)

    monkeypatch.setattr(ingest.joiner, "settle", settle)
    write(sink, range(3))
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="disk") if fails else nullcontext():
        ingest.step(1.0, 0.0, 100)
    assert gc.isenabled()
    assert seen == [False]
