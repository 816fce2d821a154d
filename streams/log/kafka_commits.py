"""Commits: the group's committed offsets, which only show people how far the store is."""

import contextlib
import time
from collections.abc import Iterable

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as failures
from kafka.structs import OffsetAndMetadata

SHOW_SECONDS = 3.0
"""Time between two commits; as often as the client's heartbeat."""
SHOW_NEWS_SECONDS = 0.5
"""Time from a poll that was taken in until people may see it: a commit costs as much as 30 records."""


class Commits:
    """Commits the store's offsets now and then; used by the thread that polls.

    Again and again, because only an answer to a commit makes kafka-python 3.0.12 tell a member that
    another process took its name; without it such a member polls on, in a busy loop.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self._shown: dict[TopicPartition, OffsetAndMetadata] = {}
        self._show_at = 0.0

    def note(self, partition: TopicPartition, offset: int) -> None:
        """Remember an offset for the next commit."""
        self._shown[partition] = OffsetAndMetadata(offset, "next offset in rlwd's store", -1)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Commit these no more: they are another member's."""
        for each in partitions:
            self._shown.pop(each, None)

    def hurry(self) -> None:
        """Let the next commit come soon."""
        self._show_at = min(self._show_at, time.monotonic() + SHOW_NEWS_SECONDS)

    def show(self) -> None:
        """Commit if it is time to."""
        if self._shown and time.monotonic() >= self._show_at:
            self._show_at = time.monotonic() + SHOW_SECONDS
            with contextlib.suppress(failures.KafkaError):
                self._consumer.commit_async(dict(self._shown))

    def are_taken(self, partitions: Iterable[TopicPartition]) -> bool:
        """Commit these at once; return whether the broker took that, from a member of its group.

        It refuses one that the group has left behind, whatever that one believes of itself.
        """
        shown = {each: self._shown[each] for each in partitions if each in self._shown}
        with contextlib.suppress(failures.KafkaError):
            self._consumer.commit(shown, timeout_ms=3000)
            return bool(shown)
        return False

    def show_last(self) -> None:
        """Commit at once, and wait for the answer a moment."""
        if self._shown:
            with contextlib.suppress(failures.KafkaError):
                self._consumer.commit(dict(self._shown), timeout_ms=1000)
        self._shown = {}
