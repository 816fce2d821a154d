"""A member of a Kafka consumer group: how it is configured, and what it hears of assignments."""

import contextlib
import queue
import re
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as failures
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.record import util as kafka_record
from kafka.structs import MemberState

from .kafka_settings import KafkaSettings
from .ports import MemberFenced, Partition

Polled = dict[TopicPartition, list[Any]]
"""The client's own records, by partition."""


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hears of assignments on the client's I/O thread and passes them on."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self.consumer = consumer
        self.heard: queue.SimpleQueue[tuple[bool, set[TopicPartition]]] = queue.SimpleQueue()

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Keep the partitions still until the polling thread has placed them."""
        for partition in assigned:
            self.consumer.pause(partition)
            # Any position will do; without one the client would take the committed offset.
            self.consumer.seek(partition, 0)
        self.heard.put((True, set(assigned)))

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Forget them."""
        self.heard.put((False, set(revoked)))


class Membership:
    """Polls a consumer, and sees each join of the group through to its end.

    kafka-python 3.0.12 throws a join away that ends while nobody polls, and begins another, which
    makes all other members join again: two members that poll briefly and work in between never
    settle (seen here: seven rounds in ten seconds). So while a join is under way a thread polls,
    until the member is stable again; the caller meanwhile waits as long as it likes.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self.consumer = consumer
        self._joining: Future[Polled] | None = None
        self._closed = False

    @property
    def joining(self) -> bool:
        """True while the thread polls, or what it polled was not fetched."""
        return self._joining is not None

    def poll(self, seconds: float, limit: int) -> Polled:
        """Return what the consumer has; raise what the client raises, MemberFenced among it."""
        try:
            return self._poll(seconds, limit)
        except failures.FencedInstanceIdError as problem:
            named = self.consumer.config["group_instance_id"]
            raise MemberFenced(
                f"kafka: another process has joined as {named}, this one's group_instance_id or --member:"
                " each member of a group needs its own"
            ) from problem

    def _poll(self, seconds: float, limit: int) -> Polled:
        if self._joining is None and self._stable():
            # A join that begins in here needs a moment until it shows.
            found: Polled = self.consumer.poll(int(max(seconds, 0.01) * 1000), max_records=limit)
            if not self._stable():
                self._join(limit)
            return found
        if self._joining is None:
            self._join(limit)
        assert self._joining is not None
        try:
            found = self._joining.result(seconds)
        except TimeoutError:
            return {}
        except BaseException:
            self._joining = None
            raise
        self._joining = None
        return found

    def _stable(self) -> bool:
        return bool(self.consumer.group_metadata().state == MemberState.STABLE)

    def _join(self, limit: int) -> None:
        self._joining = future = Future[Polled]()

        def see_through() -> None:
            try:
                found: Polled = {}
                while not found and not self._closed:
                    found = self.consumer.poll(200, max_records=limit)
                    if self._stable():
                        break
                future.set_result(found)
            except BaseException as problem:  # noqa: BLE001 (raised again in poll)
                future.set_exception(problem)

        threading.Thread(target=see_through, name="kafka-join", daemon=True).start()

    def close(self, seconds: float) -> None:
        """Let the thread end, and the consumer."""
        self._closed = True
        if self._joining is not None:
            wait([self._joining], seconds)
        with contextlib.suppress(failures.KafkaError):
            self.consumer.close(autocommit=False, timeout_ms=int(seconds * 1000))


def open_consumer(settings: KafkaSettings) -> KafkaConsumer:
    """Connect a static member that commits nothing by itself and never picks an offset.

    Raises ModuleNotFoundError without crc32c, ConnectionError (or the client's own retriable
    errors) where no broker answers.
    """
    check_crc32c()
    member = settings.group_instance_id or re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())
    return KafkaConsumer(
        group_id=settings.group_id,
        group_instance_id=member,
        partition_assignment_strategy=[CooperativeStickyAssignor()],
        enable_auto_commit=False,
        isolation_level="read_committed",
        # Not `earliest`: that would skip a gap silently. The source seeks where to start.
        auto_offset_reset="none",
        allow_auto_create_topics=False,
        # Topics and partitions that are made later are seen within this time.
        metadata_max_age_ms=10_000,
        metrics_enabled=False,
        session_timeout_ms=int(settings.session_timeout_seconds * 1000),
        heartbeat_interval_ms=int(min(3.0, settings.session_timeout_seconds / 3) * 1000),
        max_poll_interval_ms=int(settings.max_poll_interval_seconds * 1000),
        fetch_max_wait_ms=int(settings.fetch_max_wait_seconds * 1000),
        fetch_max_bytes=settings.fetch_max_bytes,
        max_partition_fetch_bytes=settings.max_partition_fetch_bytes,
        **settings.connection(),
    )


def partitions_of(consumer: KafkaConsumer, topics: Sequence[str]) -> list[Partition]:
    """Return the partitions that these topics have now; none of a topic that is missing."""
    return [
        Partition(topic=topic, index=index)
        for topic in topics
        for index in consumer.partitions_for_topic(topic) or ()
    ]


def check_crc32c() -> None:
    """Refuse to read with the client's own CRC; it is 75 times slower (measured)."""
    if kafka_record.crc32c_c is None:
        raise ModuleNotFoundError(
            "kafka-python finds no crc32c and would read 75 times slower: install"
            " 'kafka-python[crc32c]'"
        )


def of_client(partition: Partition) -> TopicPartition:
    """Return a partition as the client names it."""
    return TopicPartition(partition.topic, partition.index)
