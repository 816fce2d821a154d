"""Judge: asks an OpenAI-compatible endpoint for votes on texts, within a time and a budget.

Nothing that it does or fails to do stops anybody: what could not be asked is told, and asked later.
"""

import hashlib
import json
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

import httpx
import msgspec

from ...rewards.satisfaction.judge_prompt import (
    Vote,
    judge_messages,
    reading_of_votes,
    vote_of,
)
from ...rewards.satisfaction.message import NextMessage
from ...rewards.satisfaction.reading import Reading
from .callers import Callers
from .settings import JudgeSettings

PROMPT_VERSION = "1"
LARGEST_ANSWER = 1 << 20
"""Bytes of an answer that are read."""


class _Said(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Said


class _ChatAnswer(msgspec.Struct):
    choices: list[_Choice]
    usage: Any = None


class OverBudget(RuntimeError):
    """The day's calls or tokens are spent."""


class AskedText:
    """One text that the judge was asked about."""

    def __init__(self, key: str) -> None:
        self.key = key
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
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Make a judge; `spent` returns calls and tokens of today that are in the tables."""
        self.settings, self._spent = settings, spent
        self._told, self._lock = Counter[str](), Lock()
        self._cache: OrderedDict[str, Reading] = OrderedDict()
        headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
        self._client = httpx.Client(
            base_url=settings.url.rstrip("/") + "/",
            headers=headers,
            timeout=settings.timeout_seconds,
            transport=transport,
            trust_env=False,
        )
        self._callers = Callers(settings.concurrency, "judge-call")
        self._done: SimpleQueue[AskedText | None] = SimpleQueue()
        self._open = 0

    @property
    def version(self) -> str:
        """`judge@` and 12 hex digits of model, votes and prompt."""
        told = (PROMPT_VERSION, self.settings.model, self.settings.votes)
        return f"judge@{hashlib.sha256(repr(told).encode()).hexdigest()[:12]}"

    @property
    def busy(self) -> bool:
        """Whether every caller has a vote to ask for."""
        with self._lock:
            return self._open >= self.settings.concurrency

    def begin(self, about: NextMessage, rubric: str) -> AskedText:
        """Ask for the votes on a text, by a rubric where there is one; `done` returns it."""
        asked = AskedText(_digest(self.version, about, rubric))
        asked.reading = self._cached(asked.key)
        if asked.reading is not None:
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
        """Return what the votes say of each text, by its rubric; None where too few came."""
        waiting, places = deque(enumerate(asked)), dict[AskedText, int]()
        found: list[Reading | None] = [None] * len(asked)
        while waiting or places:
            while waiting and not self.busy:
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
        self._client.close()

    def _cast(self, asked: AskedText, about: NextMessage, rubric: str, number: int) -> None:
        vote = None
        try:
            vote = self._vote(about, rubric, number)
        finally:
            self._count(asked, vote)

    def _count(self, asked: AskedText, vote: Vote | None) -> None:
        with self._lock:
            self._open -= 1
            asked.votes.append(vote)
            if len(asked.votes) < self.settings.votes:
                return
            came = [one for one in asked.votes if one is not None]
            if 2 * len(came) > self.settings.votes:
                asked.reading = reading_of_votes(came)
                if any(one.understood for one in came):
                    self._keep(asked.key, asked.reading)
        self._done.put(asked)

    def _vote(self, about: NextMessage, rubric: str, number: int) -> Vote | None:
        for attempt in range(self.settings.retries + 1):
            if attempt:
                self._callers.sleep(self.settings.retry_seconds * 2 ** (attempt - 1))
            if self._callers.closed:
                return None
            try:
                return self._ask(about, rubric, number)
            except OverBudget:
                self._tell("over_budget")
                return None
            except (httpx.HTTPError, httpx.InvalidURL, ValueError, IndexError, RuntimeError):
                self._tell("errors")
        return None

    def _ask(self, about: NextMessage, rubric: str, number: int) -> Vote:
        calls, tokens = self._spent()
        with self._lock:
            if (
                calls + self._told["calls"] >= self.settings.calls_per_day
                or tokens + self._told["tokens"] >= self.settings.tokens_per_day
            ):
                raise OverBudget
            self._told["calls"] += 1
        body = {
            "model": self.settings.model,
            "messages": judge_messages(about, rubric),
            "temperature": 0.0 if self.settings.votes == 1 else 0.7,
            "max_tokens": self.settings.max_tokens,
            "seed": number,
        }
        deadline = time.monotonic() + self.settings.timeout_seconds
        with self._client.stream("POST", "chat/completions", json=body) as response:
            response.raise_for_status()
            raw = b""
            for piece in response.iter_bytes():
                raw += piece
                # A server that drips keeps no reader: the limit is of the whole call.
                if len(raw) > LARGEST_ANSWER or time.monotonic() > deadline:
                    raise ValueError("the answer is too long, or takes too long")
        answer = msgspec.json.decode(raw, type=_ChatAnswer)
        used = answer.usage.get("total_tokens") if isinstance(answer.usage, dict) else None
        self._tell("tokens", used if isinstance(used, int) and 0 <= used < 10**9 else 0)
        vote = vote_of(answer.choices[0].message.content or "")
        if not vote.understood:
            self._tell("not_understood")
        return vote

    def _tell(self, what: str, count: int = 1) -> None:
        with self._lock:
            self._told[what] += count

    def _cached(self, key: str) -> Reading | None:
        with self._lock:
            known = self._cache.get(key)
            if known is not None:
                self._cache.move_to_end(key)
                self._told["cached"] += 1
        return known

    def _keep(self, key: str, reading: Reading) -> None:
        self._cache[key] = reading
        while len(self._cache) > self.settings.cache:
            self._cache.popitem(last=False)


def _digest(version: str, about: NextMessage, rubric: str) -> str:
    told = json.dumps([version, rubric, about.request, about.answer, about.text])
    return hashlib.sha256(told.encode()).hexdigest()
