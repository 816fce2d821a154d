"""Forwarder: the thread that carries spooled records to the log, at least once and in order."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable

import msgspec
import structlog

from ...streams.events.event import GenerationEvent, decode_event, encode_event
from ...streams.log.claim_check import expire
from ...streams.log.ports import EventSink
from ...streams.state.durable import replace_file
from .spool import Entry, Spool

log = structlog.get_logger()

DAY_SECONDS = 86_400
EXPIRY_SECONDS = 3600.0
GATHER_SECONDS, LONGEST_GATHER_SECONDS = 0.02, 1.0
"""How long records gather at least and at most."""
BUSY_RECORDS, SHARE = 4, 0.05
"""From so many records in one batch on they gather for longer, so that carrying them takes no larger share
of the time: each batch costs a commit, and what it computes no request can meanwhile."""


class Forwarder:
    """Consumes the spool; waits for records or for the log to come back; produces log records.

    It is unblocked by `Spool.waiting` and by `stop`. Requests never wait for it. Where the log is
    away it makes a new sink and sends again from the last record known to be durable; events have
    stable ids, so what comes twice counts once.
    """

    def __init__(
        self,
        spool: Spool,
        sink_factory: Callable[[], EventSink],
        *,
        batch: int = 500,
        flush_seconds: float = 10.0,
        retry_seconds: float = 1.0,
        oversize_days: float = 30.0,
    ) -> None:
        self.spool, self.sink_factory = spool, sink_factory
        self.batch, self.flush_seconds, self.retry_seconds = batch, flush_seconds, retry_seconds
        self.oversize, self.oversize_days = spool.folder / "oversize", oversize_days
        self._expires_next = float("-inf")
        self.sent, self.failures = 0, 0
        self.problem = ""
        """Why the log does not take records now; empty while it does."""
        self._sink: EventSink | None = None
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> int:
        """Send what is left, for at most so long; return how many records stay in the spool."""
        self._deadline = time.monotonic() + seconds
        self._stopping.set()
        self.spool.waiting.set()
        self._thread.join(seconds + 1.0)
        return self.spool.unsent

    def step(self) -> int:
        """Forward one batch; return how many records.

        Raises ConnectionError where the log is away; nothing is lost then.
        """
        entries = self.spool.read(self.batch)
        try:
            if entries:
                if self._sink is None:
                    self._sink = self.sink_factory()
                self._deliver(self._sink, entries)
        except BaseException as problem:
            self.spool.release()
            self._let_go()
            self.failures += 1
            self.problem = f"{type(problem).__name__}: {problem}"
            raise
        self.spool.advance()
        self.sent += len(entries)
        self.problem = ""
        return len(entries)

    def _deliver(self, sink: EventSink, entries: list[Entry]) -> None:
        """Send, and return once all is durable; what the log refuses for good goes smaller."""
        refused: list[Entry] = []
        for entry in entries:
            try:
                sink.send(entry.topic, entry.key, entry.payload)
            except ValueError:
                refused.append(entry)
        try:
            sink.flush(self.flush_seconds)
        except ValueError:
            # The log does not say which; alone, each shows itself. The others come twice.
            if len(entries) > 1:
                for entry in entries:
                    self._deliver(sink, [entry])
                return
            refused = entries
        for entry in refused:
            self._send_slim(sink, entry)

    def _send_slim(self, sink: EventSink, entry: Entry) -> None:
        log.warning("log_refuses_record", record=entry.id, bytes=len(entry.payload))
        try:
            self._keep_aside(entry)
        except OSError as problem:
            # Not tried for ever: the records behind it would wait.
            log.error("record_not_kept_aside", record=entry.id, problem=str(problem))
        try:
            sink.send(entry.topic, entry.key, slim(entry.payload))
            sink.flush(self.flush_seconds)
        except ValueError:
            self.spool.count_lost(Counter({entry.label: 1}))

    def _keep_aside(self, entry: Entry) -> None:
        """Keep the whole record, durably, where `rlwd erase` and `oversize_days` reach it."""
        self.oversize.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(entry.id.encode()).hexdigest()[:32]
        replace_file(self.oversize / f"{name}.json", entry.payload)

    def _expire(self) -> None:
        now = time.monotonic()
        if now < self._expires_next:
            return
        self._expires_next = now + EXPIRY_SECONDS
        gone = expire(self.oversize, time.time() - self.oversize_days * DAY_SECONDS)
        if gone:
            log.info("oversize_expired", records=gone)

    def _let_go(self) -> None:
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()

    def _run(self) -> None:
        said = False
        while True:
            began = time.monotonic()
            try:
                self._expire()
                count = self.step()
                said = False
            except Exception as problem:  # noqa: BLE001 - top of the loop; it must not end
                if not said:
                    log.warning("log_away", problem=f"{type(problem).__name__}: {problem}")
                    said = True
                count = -1
            if self._stopping.is_set() and (count <= 0 or time.monotonic() > self._deadline):
                break
            if count < 0:
                self._stopping.wait(self.retry_seconds)
            elif count < self.batch and not self._stopping.is_set():
                took = time.monotonic() - began
                self.spool.waiting.wait(EXPIRY_SECONDS)
                self._stopping.wait(gathered_for(count, took))
        self._let_go()


def gathered_for(count: int, took: float) -> float:
    """Return how long records are to gather after a batch of so many, which took so many seconds.

    >>> gathered_for(1, 0.01), gathered_for(50, 0.01), gathered_for(50, 0.5)
    (0.02, 0.19, 1.0)
    """
    if count < BUSY_RECORDS:
        return GATHER_SECONDS
    longer = round(took * (1.0 / SHARE - 1.0), 3)
    return min(LONGEST_GATHER_SECONDS, max(GATHER_SECONDS, longer))


def slim(payload: bytes) -> bytes:
    """Return a generation's event without what makes it large: it ends as `excluded:no_tokens`.

    Raises ValueError where the event is not a generation: feedback has nothing to leave out.
    """
    event = decode_event(payload)
    if not isinstance(event, GenerationEvent):
        raise ValueError("only a generation can be made smaller")
    data = msgspec.structs.replace(
        event.data,
        prompt_token_ids=None,
        completion_token_ids=None,
        logprobs=None,
        routed_experts=None,
        text=event.data.text[:4096],
    )
    return encode_event(msgspec.structs.replace(event, data=data))
