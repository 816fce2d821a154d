"""Allowance: what a client has used of its rate and of its day's caps."""

import contextlib
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

DAY_SECONDS = 86_400

Counted = Literal["requests", "feedback"]


class TooMany(Exception):
    """A client is over its rate or its day's cap; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(slots=True, kw_only=True)
class Allowance:
    """What one client has used; changed by whoever counts a call."""

    tokens: float = 0.0
    """Calls that it may make at once, of its rate."""
    refilled: float = -math.inf
    """Epoch seconds up to which its rate was added."""
    day: int = -1
    """Day, UTC since 1970, that the two below are of."""
    requests: int = 0
    """Requests for a generation on that day."""
    feedback: int = 0
    """Feedback on that day."""

    def spend(self, what: Counted, cap: int, now: float, amount: int) -> None:
        """Count against the day's cap; 0 is none. Raises TooMany, and then nothing was counted."""
        day = int(now // DAY_SECONDS)
        if day != self.day:
            self.day, self.requests, self.feedback = day, 0, 0
        spent = self.requests if what == "requests" else self.feedback
        if cap and spent + amount > cap:
            left = DAY_SECONDS - now % DAY_SECONDS
            raise TooMany(f"the day's cap of {cap} {what} is used up", math.ceil(left))
        if what == "requests":
            self.requests += amount
        else:
            self.feedback += amount

    def spend_rate(self, rate: int, now: float) -> None:
        """Count a call against a rate a minute. Raises TooMany, and then it was not counted."""
        passed = max(0.0, now - self.refilled)
        self.tokens = min(float(rate), self.tokens + passed * rate / 60)
        self.refilled = now
        if self.tokens < 1:
            wait = math.ceil((1 - self.tokens) * 60 / rate)
            raise TooMany(f"more than {rate} requests a minute", wait)
        self.tokens -= 1


class Allowances:
    """The allowances of all clients, counted by this process alone."""

    def __init__(self) -> None:
        self._by_name: dict[str, Allowance] = {}

    def of(self, name: str) -> AbstractContextManager[Allowance]:
        """Give a client's allowance; what is changed of it within the block counts."""
        return self._one(name)

    @contextlib.contextmanager
    def _one(self, name: str) -> Iterator[Allowance]:
        yield self._by_name.setdefault(name, Allowance())
