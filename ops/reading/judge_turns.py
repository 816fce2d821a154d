"""JudgeTurns: has the judge read messages and mark answers, and writes each reading as it is done.

A turn is bounded: what the judge has not answered by then goes on being asked, and is written by the
next turn; what it was not asked yet is picked anew.
"""

import time
from collections import deque
from itertools import chain, zip_longest

from ...rewards.satisfaction.reading import Reading
from ...streams.readings.unread import UnreadRow
from ...streams.state.store import Store
from .judge import AskedText, Judge
from .outcomes import Outcomes
from .picker import Picker
from .settings import SatisfactionSettings
from .to_read import ToRead, redacted

LOOK_SECONDS = 1.0
"""While no answer comes, it is looked so often for texts that came meanwhile."""


class JudgeTurns:
    """What the judge is asked in turn; one thread uses it."""

    def __init__(
        self,
        store: Store,
        policy: str,
        settings: SatisfactionSettings,
        judge: Judge | None,
        outcomes: Outcomes,
        seconds: float,
    ) -> None:
        """Ask a judge, or nobody: then answers that were to be marked are given up."""
        self.settings, self.judge, self.outcomes = settings, judge, outcomes
        self.seconds = seconds
        """Longest turn."""
        self._messages, self._answers = (
            Picker(
                store,
                policy,
                outcomes,
                rubrics=rubrics,
                give_up_seconds=settings.give_up_seconds,
            )
            for rubrics in (False, True)
        )
        self._open: dict[AskedText, ToRead] = {}

    def turn(self, now: float) -> int:
        """Ask for as long as a turn may take; return how many readings were written."""
        until, written, judge = time.monotonic() + self.seconds, 0, self.judge
        waiting = deque(self._pick(now))
        while judge is not None and not judge.closed and (waiting or self._open):
            if (left := until - time.monotonic()) <= 0:
                break
            while waiting and not judge.busy and not judge.rests:
                self._begin(judge, waiting.popleft())
            done = judge.done(min(left, LOOK_SECONDS))
            if done:
                written += self._write(done, now)
            elif not waiting:
                waiting.extend(self._pick(now))
        return written

    def _pick(self, now: float) -> list[ToRead]:
        """Return what may be asked, of each kind in turn."""
        busy = {one.row for one in self._open.values()}
        answers = self._answers.pick(now, busy=busy, reads=self._marks)
        messages = (
            self._messages.pick(now, busy=busy)
            if self.settings.reader == "judge"
            else list[ToRead]()
        )
        texts = [one for one in chain(*zip_longest(messages, answers)) if one is not None]
        return [one for one in texts if self._may_send(one, now)]

    def _marks(self, row: UnreadRow) -> bool:
        return self.judge is not None and row.rubric in self.settings.rubrics

    def _may_send(self, one: ToRead, now: float) -> bool:
        if self.settings.may_send(one.episode.generation.tenant):
            return True
        self._picker_of(one).give_up([one.row], "tenant_refuses", now)
        return False

    def _begin(self, judge: Judge, one: ToRead) -> None:
        rubric = self.settings.rubrics[one.row.rubric] if one.row.rubric else ""
        self._open[judge.begin(redacted(one.message), rubric)] = one

    def _write(self, done: list[AskedText], now: float) -> int:
        texts = [self._open.pop(one) for one in done]
        for one in texts:
            # What the judge has no answer to now is asked again in a while.
            self._picker_of(one).tried([one.row], now)
        readings: list[Reading | None] = [one.reading for one in done]
        return self.outcomes.write(texts, readings, [one.reader for one in done], now)

    def _picker_of(self, one: ToRead) -> Picker:
        return self._answers if one.row.rubric else self._messages
