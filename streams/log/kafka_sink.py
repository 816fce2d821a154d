"""KafkaSink: writes records to Kafka through an idempotent producer."""

import collections
import contextlib
import threading
import time
from typing import Any

from kafka import KafkaProducer
from kafka import errors as failures

from .kafka_settings import KafkaSettings
from .kafka_topics import connecting

_Queued = tuple[str, bytes, bytes]


class KafkaSink:
    """Writes records; all in-sync replicas acknowledge them before `flush` returns.

    `send` only queues and never waits for the network; `flush` connects, writes and waits. What a
    failed flush has not seen acknowledged stays queued and goes out again with the next one, so a
    record may be there twice. A record that the broker refuses for good is dropped, and flush says
    so by ValueError. Any thread may send while another one flushes.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: Any = None
        self._queue: collections.deque[_Queued] = collections.deque()
        self._flying: list[tuple[Any, _Queued]] = []
        self._queued_bytes = 0
        self._count_lock, self._write_lock = threading.Lock(), threading.Lock()

    def send(self, topic: str, key: str, value: bytes) -> None:
        """Queue one record; records of one key stay in order.

        Raises ValueError where the record is too large, ConnectionError where the queue is full.
        """
        record = topic, key.encode(), value
        size, limit = _size(record), self._settings.max_record_bytes
        if size > limit:
            raise ValueError(f"record of {size} bytes for {topic} is over the limit of {limit}")
        with self._count_lock:
            if self._queued_bytes + size > self._settings.max_queued_bytes:
                raise ConnectionError(
                    f"kafka: {self._queued_bytes} bytes wait for a flush; the queue is full"
                )
            self._queue.append(record)
            self._queued_bytes += size

    def flush(self, timeout_seconds: float) -> None:
        """Return once all that was sent is acknowledged; raise ConnectionError where it is not."""
        deadline = time.monotonic() + timeout_seconds
        if not self._write_lock.acquire(timeout=timeout_seconds):
            raise ConnectionError("kafka: another flush takes too long")
        try:
            self._write(deadline)
        finally:
            self._write_lock.release()

    def _write(self, deadline: float) -> None:
        """Write the queue; where a record is refused, find it by halves and go on without it.

        (For one refused record the client fails all that is under way, with the same error.)
        """
        refused, refusal, share = 0, None, len(self._queue)
        while self._queue or self._flying:
            tried, problem = self._round(share, deadline)
            if problem is None:
                continue
            if not _for_good(problem) or time.monotonic() > deadline:
                left = len(self._queue) + len(self._flying)
                raise ConnectionError(f"kafka: {left} records not acknowledged: {problem}")
            if tried > 1:
                share = tried // 2
            else:
                self._release(self._queue.popleft())
                refused, refusal, share = refused + 1, problem, len(self._queue)
        if refused:
            raise ValueError(f"kafka: {refused} records refused for good: {refusal}")

    def _round(self, share: int, deadline: float) -> tuple[int, BaseException | None]:
        """Write the first `share` of the queue; return how many were tried and what went wrong."""
        problem: BaseException | None = None
        try:
            if self._producer is None:
                self._producer = self._connect(deadline)
            while self._queue and len(self._flying) < max(share, 1):
                topic, key, value = record = self._queue[0]
                self._flying.append((self._producer.send(topic, key=key, value=value), record))
                self._queue.popleft()
            self._producer.flush(timeout=max(0.0, deadline - time.monotonic()))
        except failures.KafkaError as raised:
            problem = raised
        tried, flying, failed = len(self._flying), [], False
        for future, record in self._flying:
            if future.is_done and future.succeeded():
                self._release(record)
                continue
            if future.is_done:
                problem, failed = future.exception, True
            flying.append((future, record))
        self._flying = flying
        if failed or (problem is not None and not isinstance(problem, failures.RetriableError)):
            # Its sequence numbers are broken; a new producer begins with fresh ones.
            self._drop_producer()
            self._queue.extendleft(record for _, record in reversed(flying))
            self._flying = []
        return tried, problem

    def _connect(self, deadline: float) -> Any:
        with connecting(self._settings):
            return KafkaProducer(
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                batch_size=131_072,
                max_request_size=self._settings.max_record_bytes + 1024,
                max_block_ms=int(min(max(deadline - time.monotonic(), 0.1), 5.0) * 1000),
                allow_auto_create_topics=False,
                metrics_enabled=False,
                **self._settings.connection(),
            )

    def _release(self, record: _Queued) -> None:
        with self._count_lock:
            self._queued_bytes -= _size(record)

    def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=0)
        except failures.KafkaError:
            # kafka-python 3.0.12: close() flushes first, and where that times out it leaves its
            # sender running.
            producer._sender.force_close()
            producer._sender.join(5.0)
            with contextlib.suppress(failures.KafkaError):
                producer.close(timeout=0)

    def close(self) -> None:
        """Let go of the log, without waiting for what was not flushed."""
        self._drop_producer()


def _size(record: _Queued) -> int:
    return len(record[1]) + len(record[2])


def _for_good(problem: BaseException) -> bool:
    """Whether trying again would be refused again: the record itself is at fault."""
    return isinstance(
        problem,
        failures.MessageSizeTooLargeError
        | failures.RecordListTooLargeError
        | failures.InvalidTopicError
        | failures.InvalidRecordError,
    )
