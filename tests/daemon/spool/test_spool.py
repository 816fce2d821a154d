"""Spool: what was appended is forwarded once the log is there, whatever dies in between.

The kill test ends a real writing process by SIGKILL.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka_server import KafkaServer

from rlwd.daemon.spool.forwarder import Forwarder
from rlwd.daemon.spool.spool import Kind, Spool, SpoolBusy
from rlwd.streams.events.event import (
    Feedback,
    FeedbackEvent,
    GenerationEvent,
    decode_event,
    encode_event,
)
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.signals import Accepted
from rlwd.streams.log.embedded_log import EmbeddedSink, EmbeddedSource

LABEL = "rlwd.generations|2026-11-21|champion"
TIME = datetime(2026, 11, 21, 12, tzinfo=UTC)


class RecordingSink:
    """Keeps what was flushed; away, it refuses."""

    def __init__(self) -> None:
        self.away = False
        self.limit = 1 << 20
        self.poison = b"\0"
        self.queue: list[tuple[str, str, bytes]] = []
        self.flushed: list[tuple[str, str, bytes]] = []

    def __call__(self) -> "RecordingSink":
        if self.away:
            raise ConnectionError("away")
        return self

    def send(self, topic: str, key: str, value: bytes) -> None:
        if len(value) > self.limit:
            raise ValueError("too large")
        self.queue.append((topic, key, value))

    def flush(self, timeout_seconds: float) -> None:
        if self.away:
            raise ConnectionError("away")
        bad = [record for record in self.queue if self.poison in record[2]]
        self.flushed += [record for record in self.queue if self.poison not in record[2]]
        self.queue = []
        if bad:
            raise ValueError("the log refuses one for good")

    def close(self) -> None:
        self.queue = []

    @property
    def values(self) -> list[bytes]:
        return [value for _, _, value in self.flushed]


def spool(folder: Path, max_bytes: int = 1 << 20, segment_bytes: int = 1 << 16) -> Spool:
    return Spool(folder, max_bytes, segment_bytes)


def put(spool: Spool, name: str, kind: Kind = Kind.GENERATION, label: str = LABEL) -> None:
    spool.append(kind, "s1", name, label, f"{kind.name} {name}".encode())


def drain(spool: Spool, sink: RecordingSink) -> list[str]:
    forwarder = Forwarder(spool, sink, batch=7)
    while forwarder.step():
        pass
    return [value.decode() for value in sink.values]


def test_records_go_out_in_order_and_once(tmp_path: Path) -> None:
    """Generations and feedback reach their topics under their key, in order; admissions do not."""
    here, sink = spool(tmp_path), RecordingSink()
    put(here, "a", Kind.ADMISSION)
    put(here, "a")
    put(here, "f", Kind.FEEDBACK, "rlwd.feedback|2026-11-21|")
    assert here.unsent == 2
    assert drain(here, sink) == ["GENERATION a", "FEEDBACK f"]
    assert [(t, k) for t, k, _ in sink.flushed] == [
        ("rlwd.generations", "s1"),
        ("rlwd.feedback", "s1"),
    ]
    assert here.unsent == 0
    assert drain(here, sink) == ["GENERATION a", "FEEDBACK f"]


def test_sent_records_are_not_sent_by_the_next_life(tmp_path: Path) -> None:
    """The cursor survives: a new process sends only what the old one did not."""
    here, sink = spool(tmp_path), RecordingSink()
    put(here, "a")
    drain(here, sink)
    put(here, "b")
    here.close()
    again = spool(tmp_path)
    assert again.unsent == 1
    assert drain(again, sink) == ["GENERATION a", "GENERATION b"]


def test_a_lost_cursor_sends_again_and_never_skips(tmp_path: Path) -> None:
    """Without a readable cursor everything still on disk goes out again: at least once."""
    here, sink = spool(tmp_path), RecordingSink()
    put(here, "a")
    drain(here, sink)
    here.close()
    (tmp_path / "cursor.json").write_text('{"segm')
    assert drain(spool(tmp_path), sink) == ["GENERATION a", "GENERATION a"]


def test_an_admission_without_an_end_becomes_a_generation(tmp_path: Path) -> None:
    """After a restart, an admission whose end never came goes out once, as it was admitted."""
    here, sink = spool(tmp_path), RecordingSink()
    put(here, "done", Kind.ADMISSION)
    put(here, "cut", Kind.ADMISSION)
    put(here, "done")
    assert drain(here, sink) == ["GENERATION done"]
    here.close()
    again = spool(tmp_path)
    assert drain(again, sink) == ["GENERATION done", "ADMISSION cut"]
    again.close()
    assert drain(spool(tmp_path), sink) == ["GENERATION done", "ADMISSION cut"]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_tail_loses_only_the_torn_record(tmp_path: Path, cut: int) -> None:
    """Whatever part of the last record is missing, all before it is read, and it is counted."""
    here = spool(tmp_path)
    for name in "abc":
        put(here, name)
    here.close()
    segment = max(tmp_path.glob("*.seg"))
    os.truncate(segment, segment.stat().st_size - cut)
    again = spool(tmp_path)
    assert again.torn == 1
    put(again, "d")
    assert drain(again, RecordingSink()) == ["GENERATION a", "GENERATION b", "GENERATION d"]


def test_a_damaged_record_is_not_believed(tmp_path: Path) -> None:
    """A flipped bit fails the checksum instead of going out."""
    here = spool(tmp_path)
    put(here, "a")
    here.close()
    segment = max(tmp_path.glob("*.seg"))
    raw = bytearray(segment.read_bytes())
    raw[-1] ^= 1
    segment.write_bytes(raw)
    again = spool(tmp_path)
    assert again.torn == 1
    assert drain(again, RecordingSink()) == []


def test_an_absent_log_loses_nothing(tmp_path: Path) -> None:
    """While the log is away records stay; when it is back they go out in order, each once."""
    here, sink = spool(tmp_path), RecordingSink()
    forwarder = Forwarder(here, sink)
    put(here, "a")
    sink.away = True
    for name in "bcd":
        with pytest.raises(ConnectionError):
            forwarder.step()
        put(here, name)
    assert (here.unsent, forwarder.failures, sink.flushed) == (4, 3, [])
    assert forwarder.problem == "ConnectionError: away"
    sink.away = False
    assert forwarder.step() == 4
    assert [v.decode()[-1] for v in sink.values] == list("abcd")
    assert forwarder.problem == ""


def test_a_full_spool_drops_the_oldest_and_says_what(tmp_path: Path) -> None:
    """Over its bound the spool drops the oldest; sent and dropped add up to what was appended."""
    here, sink = spool(tmp_path, max_bytes=8000), RecordingSink()
    for number in range(400):
        put(here, f"{number:04d}", label=f"t|2026-11-2{number // 200}|champion")
        assert here.size_bytes <= 8000
    assert 0 < here.dropped < 400
    assert set(here.tombstones) == {"t|2026-11-20|champion", "t|2026-11-21|champion"}
    sent = drain(here, sink)
    assert len(sent) + here.tombstones.total() == 400
    assert sent == [f"GENERATION {n:04d}" for n in range(400 - len(sent), 400)]
    assert sum(p.stat().st_size for p in tmp_path.glob("*.seg")) <= 8000
    here.close()
    assert spool(tmp_path).tombstones == here.tombstones


@pytest.mark.parametrize("comes_back", [True, False])
def test_dropping_while_sending_counts_each_record_once(tmp_path: Path, comes_back: bool) -> None:
    """Records that are being sent while their segment is dropped are lost only if sending fails."""
    here, sink = spool(tmp_path, max_bytes=8000), RecordingSink()
    for number in range(10):
        put(here, f"early {number}")
    claimed = here.read(10)
    assert len(claimed) == 10
    for number in range(400):
        put(here, f"{number:04d}")
    if comes_back:
        here.advance()
    else:
        here.release()
    rest = drain(here, sink)
    sent = len(rest) + (10 if comes_back else 0)
    assert sent + here.tombstones.total() == 410


def test_a_dropped_segment_keeps_its_open_admissions(tmp_path: Path) -> None:
    """An admission that is still open when its segment is dropped is found after a crash."""
    here = spool(tmp_path, max_bytes=8000)
    put(here, "open", Kind.ADMISSION)
    for number in range(400):
        put(here, f"{number:04d}")
    here.close()
    assert "ADMISSION open" in drain(spool(tmp_path, max_bytes=8000), RecordingSink())


def test_sent_segments_are_deleted_but_not_under_an_open_admission(tmp_path: Path) -> None:
    """Disk is given back as records are sent, except what a crash would still need."""
    here, sink = spool(tmp_path, segment_bytes=500), RecordingSink()
    for number in range(50):
        put(here, f"{number:04d}")
    drain(here, sink)
    assert len(list(tmp_path.glob("*.seg"))) == 1
    put(here, "open", Kind.ADMISSION)
    for number in range(50):
        put(here, f"{number:04d}")
    drain(here, sink)
    assert len(list(tmp_path.glob("*.seg"))) > 5
    put(here, "open")
    drain(here, sink)
    assert len(list(tmp_path.glob("*.seg"))) == 1


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    """A second spool on the folder is refused by name of the first, until that one closes."""
    here = spool(tmp_path)
    with pytest.raises(SpoolBusy, match=rf"{os.getpid()} spools here"):
        spool(tmp_path)
    here.close()
    spool(tmp_path).close()


def test_a_full_disk_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that the disk cuts short raises, and the records around it stay readable."""
    here = spool(tmp_path)
    put(here, "a")
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, data[:20]))
    with pytest.raises(OSError, match="space"):
        put(here, "b")
    monkeypatch.undo()
    put(here, "c")
    assert drain(here, RecordingSink()) == ["GENERATION a", "GENERATION c"]


def generation_event(text: str) -> GenerationEvent:
    return GenerationEvent(
        id="s1.g1",
        source="/gateway/g",
        specversion="1.0",
        time=TIME,
        receivedtime=TIME,
        data=Generation(
            generation_id="s1.g1",
            session_id="s1",
            prompt_token_ids=(1,),
            completion_token_ids=(2,),
            logprobs=(-0.5,),
            text=text,
        ),
    )


def test_a_generation_too_large_for_the_log_goes_without_its_tokens(tmp_path: Path) -> None:
    """It still has a fate: the log gets it without tokens, the disk keeps all of it."""
    here, sink = spool(tmp_path / "spool"), RecordingSink()
    sink.limit = 8000
    raw = encode_event(generation_event("x" * 9000))
    here.append(Kind.GENERATION, "s1", "s1.g1", LABEL, raw)
    Forwarder(here, sink).step()
    (sent,) = [decode_event(value) for value in sink.values]
    assert isinstance(sent, GenerationEvent)
    assert sent.id == "s1.g1"
    assert sent.data.completion_token_ids is None
    (kept,) = (tmp_path / "spool" / "oversize").iterdir()
    assert kept.read_bytes() == raw


def test_a_record_that_the_log_refuses_does_not_stop_the_others(tmp_path: Path) -> None:
    """Where only a flush finds it out, the one refused is kept on disk and counted, the rest go."""
    here, sink = spool(tmp_path / "spool"), RecordingSink()
    sink.poison = b"bad"
    for name in ("a", "bad", "c"):
        put(here, name)
    sent = drain(here, sink)
    assert set(sent) == {"GENERATION a", "GENERATION c"}
    assert here.tombstones == Counter({LABEL: 1})
    assert len(list((tmp_path / "spool" / "oversize").iterdir())) == 1


@pytest.mark.kafka
@pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")
def test_records_reach_a_real_broker(tmp_path: Path, kafka_server: KafkaServer) -> None:
    """Spooled before the broker's address answers, records are on the topic once it does."""
    from rlwd.streams.log.kafka_settings import KafkaSettings
    from rlwd.streams.log.kafka_sink import KafkaSink

    kafka_server.create_topics(["spool.test"], partitions=1)
    address = ["127.0.0.1:1"]
    here = spool(tmp_path)
    forwarder = Forwarder(
        here, lambda: KafkaSink(KafkaSettings(bootstrap_servers=(address[-1],))), flush_seconds=2.0
    )
    for name in "abc":
        put(here, name, label="spool.test|2026-11-21|")
    with pytest.raises(ConnectionError):
        forwarder.step()
    address.append(kafka_server.bootstrap)
    forwarder.flush_seconds = 20.0
    assert forwarder.step() == 3
    assert here.unsent == 0


def test_feedback_too_large_for_the_log_is_buried(tmp_path: Path) -> None:
    """Feedback has nothing to leave out: it is kept on disk and counted, and the rest goes on."""
    here, sink = spool(tmp_path / "spool"), RecordingSink()
    sink.limit = 300
    event = FeedbackEvent(
        id="f" * 300,
        source="/feedback/default",
        specversion="1.0",
        time=TIME,
        receivedtime=TIME,
        data=Feedback(feedback_id="f", generation_id="s1.g", session_id="s1", signal=Accepted()),
    )
    here.append(Kind.FEEDBACK, "s1", "f", "rlwd.feedback|2026-11-21|", encode_event(event))
    put(here, "next")
    Forwarder(here, sink).step()
    assert sink.values == [b"GENERATION next"]
    assert here.tombstones == Counter({"rlwd.feedback|2026-11-21|": 1})


WRITER = """
import sys
from pathlib import Path
from rlwd.daemon.spool.spool import Kind, Spool
spool = Spool(Path(sys.argv[1]), 1 << 26)
number = 0
while True:
    name = f"{number:08d}"
    spool.append(Kind.ADMISSION, "s1", name, "t|d|v", b"admitted " + name.encode())
    print(name, flush=True)
    if number % 3:
        spool.append(Kind.GENERATION, "s1", name, "t|d|v", b"ended " + name.encode())
    number += 1
"""


def test_a_kill_loses_nothing_that_was_admitted(tmp_path: Path) -> None:
    """After SIGKILL in the middle of writing, every admission goes out exactly once."""
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(500):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    told = 500 + len(child.stdout.read().split())
    child.wait()
    child.stdout.close()
    sent = Counter(v.split()[-1] for v in drain(spool(tmp_path), RecordingSink()))
    assert set(sent.values()) == {1}
    assert told <= len(sent) <= told + 1


def test_the_thread_forwards_to_a_real_log_and_drains_at_the_end(tmp_path: Path) -> None:
    """Records appended from another thread reach the embedded log; `stop` waits for the last."""
    here = spool(tmp_path / "spool")
    forwarder = Forwarder(here, lambda: EmbeddedSink(tmp_path / "log.db"))
    forwarder.start()

    def write() -> None:
        for number in range(1000):
            put(here, f"{number:04d}")

    writer = threading.Thread(target=write)
    writer.start()
    writer.join()
    assert forwarder.stop(10.0) == 0
    here.close()
    source = EmbeddedSource(tmp_path / "log.db", ["rlwd.generations"], resume=lambda _: {})
    records = source.poll(0.0, 5000)
    source.close()
    assert [r.value.decode() for r in records] == [f"GENERATION {n:04d}" for n in range(1000)]


def test_stop_gives_up_at_its_deadline(tmp_path: Path) -> None:
    """With the log away, `stop` returns how much stays in the spool."""
    here, sink = spool(tmp_path), RecordingSink()
    sink.away = True
    forwarder = Forwarder(here, sink, retry_seconds=0.01)
    put(here, "a")
    forwarder.start()
    assert forwarder.stop(0.2) == 1
