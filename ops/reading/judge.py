"""Judge: asks an OpenAI-compatible endpoint for votes on texts, within a time and a budget.

Nothing that it does or fails to do stops anybody: what could not be asked is told, and asked later.
"""

import hashlib
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock

from ...rewards.satisfaction.judge_prompt import (
    Vote,
    judge_messages,
    reading_of_votes,
    vote_of,
)
from ...rewards.satisfaction.message import NextMessage
from ...rewards.satisfaction.reading import Reading
from .callers import Callers
from .judge_door import JudgeDoor, JudgeError, Rest
from .known_readings import KnownReadings
from .settings import JudgeSettings

PROMPT_VERSION = "1"
NONSENSE = 20
"""Answers in succession that say nothing, after which the judge is not taken to be neutral."""
GIVE_UP_RESTS = 3
"""Rests in succession after which a command that asks the judge gives it up."""


class OverBudget(RuntimeError):
    """The day's calls or tokens are spent."""


class AskedText:
    """One text that the judge was asked about."""

    def __init__(self, key: str, reader: str) -> None:
        self.key, self.reader = key, reader
        """Digest of the text and of who reads it, and the reader's version."""
        self.votes: list[Vote | None] = []
        """Those that came, None for one that failed."""
        self.reading: Reading | None = None
        """What the votes say, once they are all there; None where too few came."""


class Judge:
    """Callers; `told` counts what they did, and is taken by whoever keeps the tallies.

    One thread asks, by `begin` and `done`, or by `read`.
    """

    def __init__(
        self,
        settings: JudgeSettings,
        spent: Callable[[], tuple[int, int]],
    ) -> None:
        """Make a judge; `spent` returns calls and tokens of today that are in the tables."""
        self.settings, self._spent = settings, spent
        self._told, self._lock = Counter[str](), Lock()
        self._known = KnownReadings(settings.cache)
        self._door, self._rest = JudgeDoor(settings), Rest()
        self._nonsense = 0
        self._callers = Callers(settings.concurrency, "judge-call")
        self._done: SimpleQueue[AskedText | None] = SimpleQueue()
        self._open = 0

    @property
    def version(self) -> str:
        """`judge@` and 12 hex digits of model, votes and prompt."""
        return self.version_for("")

    def version_for(self, rubric: str) -> str:
        """Return the version by a rubric: its text is part of what is asked."""
        told: tuple[object, ...] = (PROMPT_VERSION, self.settings.model, self.settings.votes)
        told = (*told, rubric) if rubric else told
        return f"judge@{hashlib.sha256(repr(told).encode()).hexdigest()[:12]}"

    @property
    def rests(self) -> bool:
        """Whether nothing is asked now, since calls failed."""
        return self._rest.left() > 0.0

    @property
    def problem(self) -> str | None:
        """What keeps it from reading; None where nothing does."""
        if (why := self._rest.problem) is not None:
            return f"the judge at {self.settings.url} fails: {why}"
        if self._nonsense >= NONSENSE:
            return (
                f"the last {self._nonsense} answers of the judge say nothing of what was asked;"
                " `rlwd doctor` shows one"
            )
        return None

    @property
    def busy(self) -> bool:
        """Whether every caller has a vote to ask for."""
        with self._lock:
            return self._open >= self.settings.concurrency

    def begin(self, about: NextMessage, rubric: str) -> AskedText:
        """Ask for the votes on a text, by a rubric where there is one; `done` returns it."""
        reader = self.version_for(rubric)
        asked = AskedText(_digest(reader, about, rubric), reader)
        asked.reading = self._known.find(asked.key)
        if asked.reading is not None:
            self._tell("cached")
            self._done.put(asked)
            return asked
        with self._lock:
            self._open += self.settings.votes
        for number in range(self.settings.votes):
            self._callers.submit(partial(self._cast, asked, about, rubric, number))
        return asked

    @property
    def closed(self) -> bool:
        """Whether nothing more is asked."""
        return self._callers.closed

    def done(self, seconds: float | None) -> list[AskedText]:
        """Return the texts whose votes are there; none after so many seconds, or once it is closed."""
        found = list[AskedText]()
        try:
            while not self.closed and (one := self._done.get(timeout=seconds)) is not None:
                found.append(one)
                seconds = 0.0
        except Empty:
            pass
        return found

    def read(self, asked: Sequence[tuple[NextMessage, str]]) -> list[Reading | None]:
        """Return what the votes say of each text, by its rubric; None where too few came.

        Raises ConnectionError where the judge goes on failing.
        """
        waiting, places = deque(enumerate(asked)), dict[AskedText, int]()
        found: list[Reading | None] = [None] * len(asked)
        while waiting or places:
            while waiting and not self.busy:
                if self._rest.times >= GIVE_UP_RESTS:
                    raise ConnectionError(self.problem)
                self._callers.sleep(self._rest.left())
                place, text = waiting.popleft()
                places[self.begin(*text)] = place
            for one in self.done(None):
                found[places.pop(one)] = one.reading
            if self.closed:
                raise RuntimeError("the judge was closed")
        return found

    def take_told(self) -> Counter[str]:
        """Return what was done since the last time."""
        with self._lock:
            told, self._told = self._told, Counter()
        return told

    def close(self) -> None:
        """Ask no more; a call in progress keeps nobody, and whoever waits in `done` goes on."""
        self._callers.close()
        self._done.put(None)
        self._door.close()

    def _cast(self, asked: AskedText, about: NextMessage, rubric: str, number: int) -> None:
        vote = None
        try:
            vote = self._vote(asked, about, rubric, number)
        finally:
            self._count(asked, vote)

    def _count(self, asked: AskedText, vote: Vote | None) -> None:
        with self._lock:
            self._open -= 1
            asked.votes.append(vote)
            if len(asked.votes) < self.settings.votes:
                return
            came = [one for one in asked.votes if one is not None]
            said = any(one.understood for one in came)
            # A judge that never says anything is broken, and what it reads would count for ever.
            if 2 * len(came) > self.settings.votes and (said or self._nonsense < NONSENSE):
                asked.reading = reading_of_votes(came)
                if said:
                    self._known.keep(asked.key, asked.reading)
        self._done.put(asked)

    def _vote(self, asked: AskedText, about: NextMessage, rubric: str, number: int) -> Vote | None:
        for attempt in range(self.settings.retries + 1):
            if attempt:
                self._callers.sleep(self.settings.retry_seconds * 2 ** (attempt - 1))
            if self._callers.closed or self.rests or self._is_lost(asked):
                return None
            began = time.monotonic()
            try:
                vote = self._ask(about, rubric, number)
            except OverBudget:
                self._tell("over_budget")
                return None
            except JudgeError as problem:
                self._tell("errors")
                if problem.of_the_text:
                    return None
                self._rest.failed(began, str(problem), problem.wait)
            else:
                self._rest.worked()
                return vote
        return None

    def _is_lost(self, asked: AskedText) -> bool:
        """Whether so many votes failed that the others decide nothing."""
        with self._lock:
            return 2 * asked.votes.count(None) >= self.settings.votes

    def _ask(self, about: NextMessage, rubric: str, number: int) -> Vote:
        self._reserve()
        answered = self._door.ask(
            {
                "model": self.settings.model,
                "messages": judge_messages(about, rubric),
                "temperature": 0.0 if self.settings.votes == 1 else 0.7,
                "max_tokens": self.settings.max_tokens,
                "seed": number,
            }
        )
        vote = vote_of(answered.content)
        with self._lock:
            self._told["tokens"] += answered.tokens
            self._nonsense = 0 if vote.understood else self._nonsense + 1
            if not vote.understood:
                self._told["not_understood"] += 1
        return vote

    def _reserve(self) -> None:
        """Count a call beforehand; raises OverBudget where the day's calls or tokens are spent."""
        with self._lock:
            made, used = self._told["calls"], self._told["tokens"]
            self._told["calls"] += 1
        # Read afterwards: what is on its way to the tables counts twice then, and never not at all.
        calls, tokens = self._spent()
        of_the_day = self.settings.calls_per_day, self.settings.tokens_per_day
        if calls + made >= of_the_day[0] or tokens + used >= of_the_day[1]:
            self._tell("calls", -1)
            raise OverBudget

    def _tell(self, what: str, count: int = 1) -> None:
        with self._lock:
            self._told[what] += count


def _digest(version: str, about: NextMessage, rubric: str) -> str:
    told = json.dumps([version, rubric, about.request, about.answer, about.text])
    return hashlib.sha256(told.encode()).hexdigest()
