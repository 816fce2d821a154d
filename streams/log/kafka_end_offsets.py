"""Ends: where the logs of partitions end, and when the broker was last asked."""

import contextlib
import time
from collections.abc import Iterable, Sequence

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as failures

ASK_SECONDS = 1.0
"""Time between two questions, while all that is known of was read."""
HEARD_SECONDS = 3.0
"""An end that was asked for longer ago than this says nothing any more."""
SILENT_SECONDS = 20.0
"""A broker that has told nothing for so long is away; joining a group anew takes less."""


class Ends:
    """Ends of a consumer's partitions; used by the thread that polls.

    An end that came with a fetch does not say when it was true: the next answer may be on its way
    for minutes, or never come. So a reader that has read all it knows
    of asks again, and an end counts for a while from when it was asked for, not from the answer.
    """

    def __init__(self, consumer: KafkaConsumer, servers: Sequence[str]) -> None:
        """`servers` are the brokers' addresses, for what is told of them."""
        self._consumer, self._servers = consumer, ", ".join(servers)
        self._heard_at = time.monotonic()
        self._ends: dict[TopicPartition, int] = {}
        self._asked: dict[TopicPartition, float] = {}
        self._ask_at = 0.0

    def bounds(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """Ask for first and end offsets; nothing where the broker does not answer."""
        wanted, now = list(partitions), time.monotonic()
        try:
            firsts = self._consumer.beginning_offsets(wanted, timeout_ms=3000)
            ends = self._consumer.end_offsets(wanted, timeout_ms=3000)
        except failures.RetriableError:
            return {}
        self._heard(ends, now)
        return {each: (firsts[each], ends[each]) for each in wanted if each in firsts}

    def ask(self, placed: Iterable[TopicPartition]) -> None:
        """Ask again, now and then, of what was read to the end that is known."""
        now = time.monotonic()
        if now < self._ask_at:
            return
        assigned = self._consumer.assignment()
        quiet = [p for p in placed if p in assigned and (self.position(p) or 0) >= self.of(p)]
        if quiet:
            # Slow, away, or revoked a moment ago: then nothing is known of it.
            with contextlib.suppress(failures.RetriableError, failures.IllegalStateError):
                self._heard(self._consumer.end_offsets(quiet, timeout_ms=500), now)
            self._ask_at = time.monotonic() + ASK_SECONDS

    def position(self, partition: TopicPartition) -> int | None:
        """Return the next offset to read of an assigned partition."""
        position: int | None = self._consumer.position(partition, timeout_ms=0)
        return position

    def of(self, partition: TopicPartition) -> int:
        """Return the last end that was heard of, however long ago."""
        return max(self._consumer.highwater(partition) or 0, self._ends.get(partition, 0))

    def age(self, partition: TopicPartition) -> float | None:
        """Return how long ago an end was asked for; None where that is too long, or never was."""
        age = time.monotonic() - self._asked.get(partition, -HEARD_SECONDS)
        return age if age < HEARD_SECONDS else None

    def hear(self) -> None:
        """Note that the broker told something, or that there was nothing to ask it."""
        self._heard_at = time.monotonic()

    def paused(self, seconds: float) -> None:
        """Note that nothing ran here for so long; a long pause of ours is no silence of the broker.

        A short one may be a question that it did not answer.
        """
        if seconds > SILENT_SECONDS:
            self.hear()

    @property
    def silence(self) -> str | None:
        """Why nothing is heard of the broker; None where something was, not long ago."""
        since = time.monotonic() - self._heard_at
        if since < SILENT_SECONDS:
            return None
        return (
            f"kafka at {self._servers}: nothing was heard of it for {since:.0f} s: it is away, or its"
            " group waits for another member"
        )

    def _heard(self, ends: dict[TopicPartition, int], asked: float) -> None:
        if ends:
            self.hear()
        self._ends |= ends
        self._asked |= dict.fromkeys(ends, asked)
