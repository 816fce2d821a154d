"""Judge: asks an OpenAI-compatible endpoint for votes on texts, within a time and a budget.

Nothing that it does or fails to do stops anybody: what could not be asked is told, and asked later.
"""

import hashlib
import json
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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


class Judge:
    """A pool of callers; `told` counts what they did, and is taken by whoever keeps the tallies."""

    def __init__(
        self,
        settings: JudgeSettings,
        spent: Callable[[], tuple[int, int]],
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make a judge; `spent` returns calls and tokens of today that are in the tables."""
        self.settings, self._spent, self._sleep = settings, spent, sleep
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
        self._pool = ThreadPoolExecutor(settings.concurrency, "judge")

    @property
    def version(self) -> str:
        """`judge@` and 12 hex digits of model, votes and prompt."""
        told = (PROMPT_VERSION, self.settings.model, self.settings.votes)
        return f"judge@{hashlib.sha256(repr(told).encode()).hexdigest()[:12]}"

    def read(self, asked: Sequence[tuple[NextMessage, str]]) -> list[Reading | None]:
        """Return what the votes say of each text, by its rubric; None where too few came."""
        found: dict[int, Reading | None] = {}
        waiting = {}
        for place, (about, rubric) in enumerate(asked):
            key = _digest(self.version, about, rubric)
            if (known := self._cached(key)) is not None:
                found[place] = known
                continue
            votes = [
                self._pool.submit(self._vote, about, rubric, number)
                for number in range(self.settings.votes)
            ]
            waiting[place] = key, votes
        for place, (key, votes) in waiting.items():
            came = [vote for one in votes if (vote := one.result()) is not None]
            enough = 2 * len(came) > self.settings.votes
            found[place] = reading_of_votes(came) if enough else None
            if enough and any(vote.understood for vote in came):
                self._keep(key, reading_of_votes(came))
        return [found[place] for place in range(len(asked))]

    def take_told(self) -> Counter[str]:
        """Return what was done since the last time."""
        with self._lock:
            told, self._told = self._told, Counter()
        return told

    def close(self) -> None:
        """Ask no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _vote(self, about: NextMessage, rubric: str, number: int) -> Vote | None:
        for attempt in range(self.settings.retries + 1):
            if attempt:
                self._sleep(self.settings.retry_seconds * 2 ** (attempt - 1))
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
        known = self._cache.get(key)
        if known is not None:
            self._cache.move_to_end(key)
            self._tell("cached")
        return known

    def _keep(self, key: str, reading: Reading) -> None:
        self._cache[key] = reading
        while len(self._cache) > self.settings.cache:
            self._cache.popitem(last=False)


def _digest(version: str, about: NextMessage, rubric: str) -> str:
    told = json.dumps([version, rubric, about.request, about.answer, about.text])
    return hashlib.sha256(told.encode()).hexdigest()
