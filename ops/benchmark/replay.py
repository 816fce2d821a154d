"""Replay: asks versions the requests of a benchmark, one request of all after another, where the engine has room.

It goes on where it was left: what was answered is kept until the version is judged.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ...rewards.spec.spec import Spec
from ..engine.port import Draw, Engine
from .benchmark_file import Benchmark, BenchmarkRequest
from .compared import ReplayPair
from .replayed import ReplayedAnswer, never_came, replayed
from .settings import BenchmarkSettings

LOOK_SECONDS = 0.25
"""So often it looks whether the engine has room."""
SEEDS_EACH = 1_000_000
"""Seeds between those of one version and the next."""
AWAY = 3
"""Times that an engine fails at one request before that request counts as refused. A candidate's answer that is
not there in time so often, where the champion's is, counts as empty: left out, who never ends would pass."""


class Replay:
    """The answers of a candidate, the champion and v0 to one benchmark.

    v0 is asked beside each candidate: what it once answered is of other requests once the benchmark is
    drawn anew, and an unlucky draw of it would be held against every version.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        settings: BenchmarkSettings,
        spec: Spec,
        measured: Sequence[str],
    ) -> None:
        """`measured` are the behaviours that the drift watch compares."""
        self.benchmark, self.settings, self.spec = benchmark, settings, spec
        self.measured = tuple(measured)
        self._pairs = dict[int, ReplayPair | None]()
        self._failed = dict[tuple[int, bool], int]()
        self._late = dict[int, int]()

    @property
    def pairs(self) -> list[ReplayPair]:
        """The requests that both answered."""
        return [one for _, one in sorted(self._pairs.items()) if one is not None]

    @property
    def refused(self) -> int:
        """Requests that the engine would not take, or failed at, of either version."""
        return sum(one is None for one in self._pairs.values())

    def ask(
        self,
        candidate: str,
        champion: str,
        engine: Engine,
        *,
        seed: int,
        seconds: float,
        anchor: str = "",
    ) -> bool:
        """Ask what is not answered yet, for so many seconds; return whether all of it is now.

        `anchor` is v0, which is asked where it is another one. Raises ConnectionError or TimeoutError where
        the engine is away.
        """
        until = time.monotonic() + seconds
        left = [n for n in range(len(self.benchmark.requests)) if n not in self._pairs]
        versions = (candidate, champion, *((anchor,) if anchor else ()))

        def pair(place: int) -> None:
            if self._waited(engine, until):
                found = self._answers(place, versions, engine, seed + place)
                tools = bool(self.benchmark.requests[place].tools)
                self._pairs[place] = ReplayPair(tools, *found) if len(found) > 1 else None

        with ThreadPoolExecutor(self.settings.at_once) as pool:
            jobs = [pool.submit(pair, place) for place in left]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                for job in jobs:
                    job.cancel()
                raise
        return len(self._pairs) == len(self.benchmark.requests)

    def _answers(
        self, place: int, versions: Sequence[str], engine: Engine, seed: int
    ) -> list[ReplayedAnswer]:
        """Return what each version answers to a request, up to the first at which the engine fails for good."""
        request, found = self.benchmark.requests[place], list[ReplayedAnswer]()
        for version in versions:
            try:
                found.append(self._answer(version, request, engine, seed))
            except ValueError:
                break
            except (ConnectionError, TimeoutError) as problem:
                if not self._given_up(place, len(found) > 1, problem, engine):
                    raise
                if found or self._late.get(place, 0) < AWAY:
                    break
                found.append(never_came(request, self.settings.request_seconds))
        return found

    def _given_up(self, place: int, anchors: bool, problem: Exception, engine: Engine) -> bool:
        """Count a failure at a request; return whether it was one too many of an engine that is well.

        `anchors` says whether v0 was asked: its failures are no part of the two others'.
        """
        count = self._failed[place, anchors] = self._failed.get((place, anchors), 0) + 1
        if not anchors:
            self._late[place] = self._late.get(place, 0) + isinstance(problem, TimeoutError)
        return count >= AWAY and engine.healthy()

    def _waited(self, engine: Engine, until: float) -> bool:
        """Wait until the engine has room; return whether it had before the time was over.

        One that does not tell what it does is asked all the same, a few at a time.
        """
        while time.monotonic() < until:
            load = engine.busy()
            settings = self.settings
            if load is None or load.room(beside=settings.beside, ours=settings.at_once):
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def _answer(
        self, version: str, request: BenchmarkRequest, engine: Engine, seed: int
    ) -> ReplayedAnswer:
        sampling, settings = request.sampling, self.settings
        theirs = sampling.max_tokens or settings.answer_tokens
        draw = Draw(
            max_tokens=min(theirs, settings.answer_tokens),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            seed=seed,
            seconds=settings.request_seconds,
        )
        began = time.monotonic()
        answer = engine.complete(version, request.prompt_token_ids, draw)
        took = time.monotonic() - began
        return replayed(
            request,
            answer,
            ours=sampling.max_tokens is None or draw.max_tokens < sampling.max_tokens,
            seconds=took,
            spec=self.spec,
            taken=_taken(version, request, engine),
            measured=self.measured,
        )


def _taken(version: str, request: BenchmarkRequest, engine: Engine) -> float | None:
    """Return the log-probability a token of what the person took; None where that is not known."""
    told = request.taken_token_ids
    if not told and request.edited_to:
        told = engine.encode(version, request.edited_to)
    if not told:
        return None
    scored = engine.logprobs(version, (*request.prompt_token_ids, *told))
    return sum(scored[-len(told) :]) / len(told)
