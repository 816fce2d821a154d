"""ReadingWorker: reads what is unread on a thread of its own, and writes what it read to the topic.

Consumes: unread rows; waits for: `ask`; produces: `judged` records on the feedback topic, and rows to
give up and tallies, which the loop writes. A record comes back through ingest, and its row goes with
that: killed before, the row is read again, under the same id, and what was written twice counts once.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from ...rewards.satisfaction.reading import Reading, judged
from ...streams.events.event import Feedback, FeedbackEvent, encode_event
from ...streams.events.signals import Judged
from ...streams.events.vouched import reading_id, vouch_for
from ...streams.log.ports import EventSink
from ...streams.readings.reading_tallies import tallies_of
from ...streams.readings.unread import UnreadRow, unread
from ...streams.state.store import Store
from .judge import Judge
from .learned_readers import LearnedReaders
from .settings import SatisfactionSettings
from .to_read import ToRead, redacted, sort_unread

log = structlog.get_logger()

AT_ONCE = 200
"""Rows looked at in one go."""
LOOKED_AT = 2_000
"""Rows among which they are found, where some wait for a reader that is silent."""
AGAIN_SECONDS = 60.0
"""After so long without its record coming back a message is read and written again."""
FLUSH_SECONDS = 10.0
SOURCE = "/reader"


class ReadingWorker:
    """Owns the reader and the judge; the loop asks it, and takes what is to be written to the tables."""

    def __init__(
        self,
        store: Store,
        policy: str,
        settings: SatisfactionSettings,
        folder: Path,
        sink: EventSink,
        topic: str,
        key: bytes,
        *,
        clock: Callable[[], float] = time.time,
        judge: Judge | None = None,
    ) -> None:
        self.store, self.policy, self.settings = store, policy, settings
        self.sink, self.topic, self.key = sink, topic, key
        self.clock = clock
        self.judge = judge or (Judge(settings.judge, self._spent) if settings.judge.url else None)
        self.learned = LearnedReaders(store, policy, settings, folder)
        self._tried: dict[UnreadRow, float] = {}
        self._train_asked = True
        self._given_up: list[UnreadRow] = []
        self._told, self._lock = Counter[str](), threading.Lock()
        self._day: tuple[float, tuple[int, int]] = (-1.0, (0, 0))
        self._asked, self._stopping = threading.Event(), False
        self._thread: threading.Thread | None = None
        self.problem: str | None = None
        """What keeps it from reading; None where nothing does."""

    def start(self) -> None:
        """Begin to read."""
        if self.settings.reader == "off" and not self.settings.rubrics:
            return
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Ask it to look; safe from any thread."""
        self._asked.set()

    def train_soon(self) -> None:
        """Ask it to train where it is time; safe from any thread."""
        self._train_asked = True
        self._asked.set()

    def stop(self) -> None:
        """Read no more; a call of the judge in progress keeps nobody."""
        self._stopping = True
        self._asked.set()
        if self.judge is not None:
            self.judge.close()
        if self._thread is not None:
            self._thread.join(1.0)

    def take(self) -> tuple[list[UnreadRow], Counter[str]]:
        """Return the rows to give up and what was done, since the last time."""
        with self._lock:
            rows, self._given_up = self._given_up, []
            told, self._told = self._told, Counter()
        if self.judge is not None:
            told += self.judge.take_told()
            self._day = (-1.0, (0, 0))
        return rows, told

    def facts(self) -> dict[str, Any]:
        """Return which reader is in use, and why it is silent where it is."""
        settings, state = self.settings, self.learned.state
        if settings.reader == "learned":
            return {"reader": state.version, "silent": state.silent}
        judged = settings.reader == "judge" and self.judge is not None
        return {"reader": self.judge.version if judged and self.judge else "off", "silent": ""}

    def _run(self) -> None:
        while not self._stopping:
            self._asked.wait()
            self._asked.clear()
            if self._stopping:
                return
            try:
                self.turn(self.clock())
                self.problem = None
            except (ConnectionError, TimeoutError) as problem:
                # The database or the log is away: the rows wait.
                self.problem = str(problem)
            except Exception as problem:  # The top of this thread's loop; the daemon goes on.
                if not self._stopping:
                    self.problem = f"{type(problem).__name__}: {problem}"
                    log.exception("reader_failed")

    def turn(self, now: float) -> int:
        """Train where it is time, read what can be read, and write it; return how many were written."""
        if self.settings.reader == "learned" and self._train_asked:
            self._train_asked = False
            self.learned.train_if_due(now)
        silent = self.settings.reader == "learned" and self.learned.current() is None
        with self.store.reading() as view:
            rows = unread(view, self.policy, LOOKED_AT + len(self._tried))
            known = set(rows)
            self._tried = {row: at for row, at in self._tried.items() if row in known}
            rows = [row for row in rows if now - self._tried.get(row, -math.inf) > AGAIN_SECONDS]
            late = [row for row in rows if now - row.noted > self.settings.give_up_seconds]
            fresh = [row for row in rows[len(late) :] if row.rubric or not silent]
            found = sort_unread(view, self.policy, fresh[:AT_ONCE])
        self._give_up(late, "too_late", now)
        for row, why in found.refused:
            self._give_up([row], why, now)
        # What the judge has no answer to now is asked again in a while.
        self._tried |= dict.fromkeys([one.row for one in found.texts], now)
        return self._write(self._read(found.texts, now), now)

    def _read(self, texts: Sequence[ToRead], now: float) -> list[tuple[ToRead, Judged]]:
        by_rubric = [one for one in texts if one.row.rubric]
        messages = [one for one in texts if not one.row.rubric]
        asked = by_rubric + (messages if self.settings.reader == "judge" else [])
        done = self._judge([one for one in asked if self._may_send(one, now)]) if asked else []
        if self.settings.reader == "learned" and (reader := self.learned.current()) is not None:
            readings = reader.read([one.message for one in messages])
            done += _signals(messages, readings, reader.version)
        return done

    def _judge(self, texts: Sequence[ToRead]) -> list[tuple[ToRead, Judged]]:
        judge = self.judge
        assert judge is not None
        rubrics = self.settings.rubrics
        known = [one for one in texts if not one.row.rubric or one.row.rubric in rubrics]
        asked = [(redacted(one.message), rubrics.get(one.row.rubric, "")) for one in known]
        return _signals(known, judge.read(asked), judge.version)

    def _may_send(self, one: ToRead, now: float) -> bool:
        if self.settings.may_send(one.episode.generation.tenant):
            return True
        self._give_up([one.row], "tenant_refuses", now)
        return False

    def _write(self, done: Sequence[tuple[ToRead, Judged]], now: float) -> int:
        if not done:
            return 0
        for text, signal in done:
            event = self._event(text, signal, now)
            self.sink.send(self.topic, text.episode.generation.session_id, encode_event(event))
        self.sink.flush(FLUSH_SECONDS)
        with self._lock:
            self._told.update(signal.direction for _, signal in done)
        return len(done)

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

    def _give_up(self, rows: Sequence[UnreadRow], why: str, now: float) -> None:
        with self._lock:
            self._given_up += rows
            self._told[why] += len(rows)
        # Until the loop has taken them away.
        self._tried |= dict.fromkeys(rows, now)

    def _spent(self) -> tuple[int, int]:
        now = self.clock()
        at, known = self._day
        if int(at // 86400.0) != int(now // 86400.0):
            with self.store.reading() as view:
                told = tallies_of(view, self.policy, now)
            known = told.get("calls", 0), told.get("tokens", 0)
            self._day = (now, known)
        return known


def _signals(
    texts: Sequence[ToRead], readings: Sequence[Reading | None], reader: str
) -> list[tuple[ToRead, Judged]]:
    return [
        (
            one,
            judged(
                reading, one.message, reader=reader, message=one.row.message, rubric=one.row.rubric
            ),
        )
        for one, reading in zip(texts, readings, strict=True)
        if reading is not None
    ]
