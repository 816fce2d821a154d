"""JudgeDoor: one chat endpoint, each call within a limit of time and of size that holds for all of it.

A limit of each read alone is none: a server that sends a byte now and then, of its headers too, would
keep its caller for ever. So the calls are tasks of a thread of their own, which ends what is late. After
several failures in succession `Rest` lets the endpoint be for a while: an outage costs no day's budget.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from typing import Any, NamedTuple

import httpx
import msgspec

from ...streams.authorities import authorities
from .settings import JudgeSettings

LARGEST_ANSWER = 1 << 20
"""Bytes of an answer that are read."""
CHARACTERS_A_TOKEN = 4
"""By which tokens are counted where the endpoint does not say how many it used."""
FAILURES = 5
"""Calls that failed in succession, after which nothing is asked for a while."""
SHORTEST, LONGEST = 1.0, 60.0
"""Seconds of the first rest, and of the longest; each is twice the one before."""
LONGEST_ASKED = 600.0
"""Longest rest that an endpoint may ask for."""
OF_THE_TEXT = (400, 413, 422)
"""Statuses that say something of the text alone: others may be asked meanwhile."""


class JudgeError(RuntimeError):
    """A call that brought no answer."""

    def __init__(self, problem: str, *, of_the_text: bool = False, wait: float = 0.0) -> None:
        super().__init__(problem)
        self.of_the_text = of_the_text
        """Whether the same text would fail again, and others would not."""
        self.wait = wait
        """Seconds for which the endpoint asks to be let be."""


class JudgeAnswer(NamedTuple):
    """What came back."""

    content: str
    """Text of the answer."""
    tokens: int
    """What the call used."""


class _Said(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Said


class _ChatAnswer(msgspec.Struct):
    choices: list[_Choice]
    usage: Any = None


class Rest:
    """When an endpoint that fails is asked again; safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.times = 0
        """Rests in succession."""
        self.problem: str | None = None
        """Why there is one; None once a call worked."""
        self._failed, self._began, self._until = 0, float("-inf"), float("-inf")
        self._lock = threading.Lock()

    def left(self) -> float:
        """Return for how many seconds nothing should be asked; 0 where anything may."""
        with self._lock:
            return max(0.0, self._until - self.clock())

    def worked(self) -> None:
        """Note that a call did what it should."""
        with self._lock:
            self._failed, self.times, self.problem = 0, 0, None
            self._until = float("-inf")

    def failed(self, began: float, problem: str, asked: float = 0.0) -> None:
        """Note that a call failed which began then, and for how long the endpoint asks to be let be.

        Of calls that were under way when a rest began none makes it longer.
        """
        with self._lock:
            if began < self._began:
                return
            self._failed += 1
            if self._failed < FAILURES and not asked:
                return
            now = self.clock()
            seconds = min(LONGEST, SHORTEST * 2.0 ** min(self.times, 16))
            self._began, self._until = now, now + max(seconds, min(asked, LONGEST_ASKED))
            self._failed = FAILURES
            self.times, self.problem = self.times + 1, problem


class JudgeDoor:
    """Callers of any thread ask; `close` ends what is under way."""

    def __init__(self, settings: JudgeSettings) -> None:
        self.settings = settings
        self._lock, self._ready = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._client: httpx.AsyncClient | None = None
        self._closed = False

    def ask(self, body: Mapping[str, Any]) -> JudgeAnswer:
        """Return the answer to a chat; raises JudgeError where none came, or it is none."""
        loop = self._started()
        call = self._within_limit(body)
        try:
            future = asyncio.run_coroutine_threadsafe(call, loop)
        except RuntimeError as problem:
            call.close()
            raise JudgeError("the judge was closed") from problem
        try:
            # The task ends by itself; longer than that only a loop that was closed takes.
            raw = future.result(self.settings.timeout_seconds + 5.0)
        except CancelledError as problem:
            raise JudgeError("the judge was closed") from problem
        except TimeoutError as problem:
            raise JudgeError(f"no answer in {self.settings.timeout_seconds:g} s") from problem
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError, RuntimeError) as problem:
            if isinstance(problem, JudgeError):
                raise
            raise JudgeError(f"{type(problem).__name__}: {problem}"[:300]) from problem
        return self._answer(body, raw)

    def close(self) -> None:
        """Ask no more, and end what is under way; nobody waits for it."""
        with self._lock:
            self._closed = True
            loop, ending = self._loop, self._ending
        if loop is not None and ending is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # It ended in between.
                loop.call_soon_threadsafe(ending.set)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise JudgeError("the judge was closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="judge-door", daemon=True)
                self._thread.start()
                self._ready.wait()
            assert self._loop is not None
            return self._loop

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        token = self.settings.token
        # A compressed answer may be a thousand times as long as what is read of it.
        headers = {"Accept-Encoding": "identity"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        url = self.settings.url.rstrip("/") + "/"
        async with httpx.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=None,
            limits=limits,
            verify=authorities(),
            trust_env=False,
        ) as client:
            self._client = client
            self._ready.set()
            await self._ending.wait()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _within_limit(self, body: Mapping[str, Any]) -> bytes:
        async with asyncio.timeout(self.settings.timeout_seconds):
            return await self._post(body)

    async def _post(self, body: Mapping[str, Any]) -> bytes:
        assert self._client is not None
        async with self._client.stream("POST", "chat/completions", json=body) as response:
            if (status := response.status_code) != 200:
                raise JudgeError(
                    f"status {status}", of_the_text=status in OF_THE_TEXT, wait=_wait(response)
                )
            if response.headers.get("content-encoding", "identity") != "identity":
                raise JudgeError("the answer is compressed, which nobody asked for")
            raw = bytearray()
            async for piece in response.aiter_raw():
                raw += piece
                if len(raw) > LARGEST_ANSWER:
                    raise JudgeError(f"the answer is longer than {LARGEST_ANSWER} bytes")
        return bytes(raw)

    def _answer(self, body: Mapping[str, Any], raw: bytes) -> JudgeAnswer:
        try:
            answer = msgspec.json.decode(raw, type=_ChatAnswer)
            content = answer.choices[0].message.content or ""
        except (ValueError, IndexError, RecursionError) as problem:
            raise JudgeError(f"is no chat completion: {problem}"[:300]) from problem
        used = answer.usage.get("total_tokens") if isinstance(answer.usage, dict) else None
        if not isinstance(used, int) or not 0 < used < 10**9:
            told = sum(len(one["content"]) for one in body["messages"]) + len(content)
            used = 1 + told // CHARACTERS_A_TOKEN
        return JudgeAnswer(content, used)


def _wait(response: httpx.Response) -> float:
    """Return the seconds of a Retry-After; 0 where there is none, or a date."""
    try:
        seconds = float(response.headers.get("retry-after", "0"))
    except ValueError:
        return 0.0
    return seconds if 0.0 < seconds < float("inf") else 0.0
