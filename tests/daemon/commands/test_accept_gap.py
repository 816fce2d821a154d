"""A gap in the log stops its partition, by name, until an operator gives it up (CONTRACTS 15)."""

from functools import partial
from pathlib import Path

import pytest
from ledger_by_hand import SPEC, generation

from rlwd.daemon.audit.audit import audit
from rlwd.rewards.spec.scorer import Scorer
from rlwd.streams.answers.answer_tallies import count_fates
from rlwd.streams.join.ingest import Ingest, read_to_end
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.join.offsets import accept_gap, record_counts, rewound_by
from rlwd.streams.log.embedded_log import EmbeddedLog, EmbeddedSink, EmbeddedSource
from rlwd.streams.log.ports import Partition
from rlwd.streams.open import open_store

TOPIC = "generations"
PARTITION = Partition(topic=TOPIC, index=0)


def open_ingest(folder: Path) -> Ingest:
    store = open_store(folder / "rlwd.db", {})
    joiner = Joiner("policy", Scorer(SPEC), SPEC.decision_seconds)
    opens = partial(EmbeddedSource, folder / "log.db", [TOPIC], partitions=1)
    return Ingest(store, joiner, opens)


def write(folder: Path, *numbers: int) -> None:
    sink = EmbeddedSink(folder / "log.db", partitions=1)
    for number in numbers:
        sink.send(TOPIC, "s", generation(f"g{number}", 0.0))
    sink.flush(10.0)
    sink.close()


def turns(ingest: Ingest, count: int = 6) -> None:
    for _ in range(count):
        ingest.step(0.0, 0.02, 100)


def test_a_gap_stops_its_partition_until_it_is_accepted(tmp_path: Path) -> None:
    """Nothing is skipped by itself; once accepted the partition goes on, and the audit counts it."""
    write(tmp_path, 0, 1)
    ingest = open_ingest(tmp_path)
    read_to_end(ingest)
    ingest.source.close()
    write(tmp_path, 2, 3, 4)
    log = EmbeddedLog(tmp_path / "log.db")
    log.trim(PARTITION, 4)
    log.close()
    again = open_ingest(tmp_path)
    turns(again)
    assert again.problem is not None
    assert "offset 2 is outside the log" in again.problem
    with again.store.reading() as view:
        assert count_fates(view, "policy") == {"waiting": 2}
    with again.store.transaction() as tx:
        assert accept_gap(tx, "policy", PARTITION, 4) == 2
    turns(again)
    assert again.problem is None
    with again.store.reading() as view:
        assert count_fates(view, "policy") == {"waiting": 3}


def test_only_what_was_read_and_is_gone_can_be_given_up(tmp_path: Path) -> None:
    """An unknown partition, and an offset that was read already, are refused by name."""
    write(tmp_path, 0, 1)
    ingest = open_ingest(tmp_path)
    read_to_end(ingest)
    with ingest.store.transaction() as tx:
        with pytest.raises(ValueError, match="elsewhere/3: was never read"):
            accept_gap(tx, "policy", Partition(topic="elsewhere", index=3), 9)
        with pytest.raises(ValueError, match="stands at 2, so 2 gives nothing up"):
            accept_gap(tx, "policy", PARTITION, 2)


def test_the_audit_counts_what_was_given_up(tmp_path: Path) -> None:
    """A gap that an operator accepted stands in the audit for ever, and the identities close."""
    from daemon_by_hand import open_daemon_ledger

    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    ledger.take(generation("g0", 0.0))
    with ledger.store.transaction() as tx:
        accept_gap(tx, "policy", Partition(topic="generations", index=0), 5)
    with ledger.store.reading() as view:
        found = audit(view, "policy", [])
    assert found.gaps == {"generations/0": 4}
    assert found.closes


def test_a_log_that_lost_its_end_is_read_again_from_there(tmp_path: Path) -> None:
    """A log that was made anew stops its partition; gone back, nothing is counted twice or missed."""
    write(tmp_path, 0, 1, 2, 3, 4)
    ingest = open_ingest(tmp_path)
    read_to_end(ingest)
    ingest.source.close()
    for file in tmp_path.glob("log.db*"):
        file.unlink()
    write(tmp_path, 0, 5)
    again = open_ingest(tmp_path)
    turns(again)
    assert again.problem is not None
    assert "records 2 to 4 are gone from its end; it was made anew" in again.problem
    assert f"accept-gap {TOPIC}/0 2 --back" in again.problem
    with again.store.transaction() as tx:
        for wrong in (5, 6, -1):
            with pytest.raises(ValueError, match="stands at 5"):
                accept_gap(tx, "policy", PARTITION, wrong, back=True)
        assert accept_gap(tx, "policy", PARTITION, 0, back=True) == -5
    read_to_end(again)
    with again.store.reading() as view:
        assert sum(count_fates(view, "policy").values()) == 6
        assert rewound_by(view, "policy") == {f"{TOPIC}/0": 5}
        counts = record_counts(view, "policy")[PARTITION]
    assert (counts.accepted, counts.duplicate, counts.delivered) == (6, 1, 7)
    again.source.close()
