"""Crowd: thousands of simulated people who use the served policy over HTTP, as real ones would.

What they ask and want is a `World`'s; gateway, engine, daemon and learner are the real ones.
"""

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from ..worlds.world import Act, Answer, Ask, World

RETRY_SECONDS = (0.2, 1.0, 3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdAnswer:
    """One answered request, as the crowd saw it."""

    at: float
    """Seconds since the crowd began."""
    version: str
    """Version that the gateway named."""
    variant: str
    """Variant that the gateway named."""
    segment: str
    """Kind of work."""
    taken: bool
    """Whether the person accepted it."""
    wanted: bool
    """Whether it was what the person wanted."""
    seconds: float
    """From request to whole answer."""
    did: str = ""
    """What it did, in a word of the world's own."""
    generation_id: str = ""
    """Names it."""


@dataclass(slots=True, kw_only=True)
class CrowdResults:
    """What the crowd has seen so far."""

    sent: int = 0
    """Requests for answers."""
    failed: int = 0
    """Requests that got no answer."""
    feedback_failed: int = 0
    """Feedback that nobody took, after retries."""
    answered: list[str] = field(default_factory=list)
    """Generation ids of the answers that people got."""
    acknowledged: list[str] = field(default_factory=list)
    """Feedback ids that were answered with 202."""
    answers: list[CrowdAnswer] = field(default_factory=list)
    """In the order of their arrival."""
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=400))
    """Whether the latest answers were accepted."""

    def accept_rate(self, first: float, last: float) -> float:
        """Return the share accepted between two fractions of all answers."""
        part = self._between(first, last)
        return sum(answer.taken for answer in part) / max(len(part), 1)

    def wanted_rate(self, first: float, last: float) -> float:
        """Return the share that was what the person wanted, whatever was said of it."""
        part = self._between(first, last)
        return sum(answer.wanted for answer in part) / max(len(part), 1)

    def _between(self, first: float, last: float) -> list[CrowdAnswer]:
        count = len(self.answers)
        return self.answers[int(first * count) : max(int(last * count), int(first * count) + 1)]


class Crowd:
    """People asking, reading, and saying what they think of it.

    One task for each person at work at a time (consumes: numbered visits; waits for: the answer;
    produces: feedback, each act after its own delay).
    """

    def __init__(
        self,
        url: str,
        world: World,
        *,
        seed: int,
        users: int,
        at_once: int,
        rate: float,
        patience: float = 60.0,
    ) -> None:
        """`patience` is how many seconds a person waits for an answer."""
        self.patience = patience
        self.url, self.world, self.seed, self.users = url, world, seed, users
        self.at_once, self.rate, self.tally = at_once, rate, CrowdResults()
        self.stopping = asyncio.Event()
        self._visits = 0
        self._started = self._next = time.monotonic()
        self._acts: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Keep `at_once` people busy until `stopping` is set; then let every act be done."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=self.patience)
        async with aiohttp.ClientSession(
            self.url, connector=connector, timeout=timeout, json_serialize=_dumps
        ) as http:
            self._started = self._next = time.monotonic()
            await asyncio.gather(*(self._keep_visiting(http) for _ in range(self.at_once)))
            while self._acts:
                await asyncio.gather(*self._acts)

    async def _keep_visiting(self, http: aiohttp.ClientSession) -> None:
        while not self.stopping.is_set():
            visit, self._visits = self._visits, self._visits + 1
            await self._turn()
            await self._visit(http, visit)

    async def _turn(self) -> None:
        """Wait for the next start: people come at a rate and not as fast as they are answered."""
        self._next = max(self._next + 1.0 / self.rate, time.monotonic() - 1.0)
        await asyncio.sleep(max(0.0, self._next - time.monotonic()))

    async def _visit(self, http: aiohttp.ClientSession, visit: int) -> None:
        """Ask, react, and ask again until the session is at its end."""
        # Everything random about a visit comes from its number, so that a seed repeats the crowd.
        rng = random.Random(f"{self.seed}:{visit}")
        user = f"user-{rng.randrange(self.users)}"
        ask: Ask | None = self.world.ask(user, rng)
        while ask is not None:
            ask = await self._turn_of(http, ask, user, f"{self.seed}-{visit}", rng)

    async def _turn_of(
        self, http: aiohttp.ClientSession, ask: Ask, user: str, session: str, rng: random.Random
    ) -> Ask | None:
        self.tally.sent += 1
        began, user = time.monotonic(), ask.user or user
        body = {"model": "rlwd", "messages": list(ask.messages), "user": user, **ask.options}
        body["metadata"] = {"session": session, "segment": ask.segment}
        try:
            async with http.post("/v1/chat/completions", json=body) as response:
                response.raise_for_status()
                answer = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError):
            self.tally.failed += 1
            return None
        self.tally.answered.append(answer["id"])
        choice = answer["choices"][0]
        reaction = self.world.react(
            ask,
            Answer(
                text=choice["message"].get("content") or "",
                message=choice["message"],
                finish_reason=choice["finish_reason"] or "",
            ),
            user,
            rng,
        )
        now = time.monotonic()
        self.tally.recent.append(reaction.taken)
        self.tally.answers.append(
            CrowdAnswer(
                at=now - self._started,
                version=response.headers.get("X-Rlwd-Version", "").partition("; ")[0],
                variant=response.headers.get("X-Rlwd-Variant", ""),
                segment=ask.segment,
                taken=reaction.taken,
                wanted=reaction.wanted,
                seconds=now - began,
                did=reaction.did,
                generation_id=answer["id"],
            )
        )
        for number, act in enumerate(reaction.acts):
            job = asyncio.create_task(self._act(http, answer["id"], number, act))
            self._acts.add(job)
            job.add_done_callback(self._acts.discard)
        return reaction.following

    async def _act(
        self, http: aiohttp.ClientSession, generation_id: str, number: int, act: Act
    ) -> None:
        await asyncio.sleep(act.after_seconds)
        feedback = {
            "feedback_id": f"{generation_id}.{number}",
            "generation_id": generation_id,
            "signal": act.signal,
        }
        for wait in (*RETRY_SECONDS, None):
            try:
                async with http.post("/v1/feedback", json=feedback) as response:
                    response.raise_for_status()
                    self.tally.acknowledged.append(str(feedback["feedback_id"]))
                    return
            except (aiohttp.ClientError, TimeoutError):
                if wait is not None:
                    await asyncio.sleep(wait)
        self.tally.feedback_failed += 1


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()
