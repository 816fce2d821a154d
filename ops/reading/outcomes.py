"""Outcomes: what came of the texts that were read, on the topic and in what the loop is told.

Produces: `judged` records on the feedback topic, and rows to give up and counts, which the loop writes.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from ...rewards.satisfaction.reading import Reading, judged
from ...streams.events.event import Feedback, FeedbackEvent, encode_event
from ...streams.events.signals import Judged
from ...streams.events.vouched import reading_id, vouch_for
from ...streams.log.ports import EventSink
from ...streams.readings.unread import UnreadRow
from .to_read import ToRead

FLUSH_SECONDS = 10.0
SOURCE = "/reader"


class Outcomes:
    """Where every reader of a daemon puts what it did; safe from any thread."""

    def __init__(self, sink: EventSink, topic: str, key: bytes) -> None:
        self.sink, self.topic, self.key = sink, topic, key
        self._given_up: list[UnreadRow] = []
        self._told, self._lock = Counter[str](), threading.Lock()

    def write(
        self,
        texts: Sequence[ToRead],
        readings: Sequence[Reading | None],
        readers: Sequence[str],
        now: float,
    ) -> int:
        """Write what readers read of texts to the topic, None of nothing; return how many."""
        told = Counter[str]()
        for text, reading, reader in zip(texts, readings, readers, strict=True):
            if reading is None:
                continue
            row = text.row
            signal = judged(
                reading, text.message, reader=reader, message=row.message, rubric=row.rubric
            )
            event = self._event(text, signal, now)
            self.sink.send(self.topic, text.episode.generation.session_id, encode_event(event))
            told[signal.direction] += 1
        if told:
            self.sink.flush(FLUSH_SECONDS)
            with self._lock:
                self._told += told
        return told.total()

    def give_up(self, rows: Sequence[UnreadRow], why: str) -> None:
        """Let rows go, by a reason with a name."""
        with self._lock:
            self._given_up += rows
            self._told[why] += len(rows)

    def take(self) -> tuple[list[UnreadRow], Counter[str]]:
        """Return the rows to give up and what was done, since the last time."""
        with self._lock:
            rows, self._given_up = self._given_up, []
            told, self._told = self._told, Counter()
        return rows, told

    def put_back(self, rows: Sequence[UnreadRow], told: Counter[str]) -> None:
        """Take back what was taken and could not be written."""
        with self._lock:
            self._given_up = [*rows, *self._given_up]
            self._told += told

    def _event(self, text: ToRead, signal: Judged, now: float) -> FeedbackEvent:
        about, at = text.episode.generation, datetime.fromtimestamp(now, UTC)
        message, rubric = signal.message, signal.rubric
        # Without the reader: of two that read one message the first counts, whichever it was.
        name = reading_id(self.key, about.generation_id, message, "", rubric)
        said = Feedback(
            feedback_id=name,
            generation_id=about.generation_id,
            session_id=about.session_id,
            signal=signal,
            tenant=about.tenant,
            actor="system",
            redacted=(),
        )
        event = FeedbackEvent(
            id=name, source=SOURCE, specversion="1.0", time=at, receivedtime=at, data=said
        )
        return vouch_for(event, self.key)
