"""Status server: a page for people and some for machines, answered by a thread of its own."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ..http.access import Access, is_asked_here
from ..http.connections import ConnectionLimits, LimitedRunner, not_listening
from .flag_page import FLAGS, FlagPage

STUCK_SECONDS = 60.0
"""A loop that did not turn for so long is not alive."""
PUBLIC = ("/livez", "/readyz", "/login", "/runbook", "/site.css", "/site.js", "/site.svg")
"""For everybody; what keeps the daemon from being ready is told to those who may know."""
MACHINES = ("/metrics", "/statusz", FLAGS)
"""What a page of the web must not read under a name that its owner's DNS points here."""
PAST_PROBLEMS = 50
"""Problems that are over and still told of."""
MOST_CONNECTIONS = 256
"""Probes, scrapers and people together; one more is closed at once."""
HEADER_SECONDS, IDLE_SECONDS = 15.0, 75.0
"""Longest for a first request to come, and between two."""


class PastProblem(NamedTuple):
    """A problem that is over."""

    name: str
    """As status named it."""
    said: str
    """What it said last."""
    began: float
    """When it was first seen, epoch seconds."""
    ended: float
    """When it was seen to be over."""


@dataclass(slots=True, kw_only=True)
class Vitals:
    """What the loop tells the health page; written by the loop alone."""

    ticked_at: float = field(default_factory=time.monotonic)
    """Monotonic time of the last turn."""
    problems: dict[str, str] = field(default_factory=dict)
    """What keeps the daemon from being ready, by dependency."""
    live: dict[str, Any] = field(default_factory=dict)
    """Facts of the moment that are in no table: the learner's state, the rollout's stage."""
    started: float = field(default_factory=time.time)
    """When this process began, epoch seconds."""
    since: dict[str, float] = field(default_factory=dict)
    """Since when each problem is there, as far as this process saw it begin; epoch seconds."""
    over: deque[PastProblem] = field(default_factory=lambda: deque(maxlen=PAST_PROBLEMS))
    """The last problems that are over, oldest first."""

    def report(self, dependency: str, problem: str | None) -> None:
        """Say whether a dependency works."""
        if problem is None:
            said = self.problems.pop(dependency, None)
            if said is not None:
                began = self.since.pop(dependency, self.started)
                self.over.append(PastProblem(dependency, said, began, time.time()))
            return
        if dependency not in self.problems:
            self.since[dependency] = time.time()
        self.problems[dependency] = problem


class Keeper(Protocol):
    """What keeps the pages' content at hand in a thread of its own."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End; what is under way is not waited for."""


class StatusServer:
    """A small HTTP server in a thread.

    Consumes: requests; waits for: a request; unblocked by: `stop`; produces: answers. It never
    writes anything that the loop owns.
    """

    def __init__(
        self,
        vitals: Vitals,
        registry: CollectorRegistry,
        status: Callable[[], dict[str, Any]],
        *,
        host: str,
        port: int,
        access: Access | None = None,
        flags: FlagPage | None = None,
        pages: Sequence[web.RouteDef] = (),
        keeper: Keeper | None = None,
    ) -> None:
        """`pages` are those for people; without `access` everybody is let in. `keeper` works while they listen."""
        self.vitals, self.registry, self.status = vitals, registry, status
        self.flags = flags or FlagPage("", lambda: None)
        self.host, self.port = host, port
        self.access, self.pages, self.keeper = access or Access(), pages, keeper
        self.limits = ConnectionLimits(MOST_CONNECTIONS, HEADER_SECONDS)
        self._loop: asyncio.AbstractEventLoop
        self._started = threading.Event()
        self._problem: OSError | None = None
        self._thread = threading.Thread(target=self._serve, name="health", daemon=True)

    def start(self) -> None:
        """Listen; raises OSError where the port is taken."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        self._started.wait()
        if self._problem is not None:
            self._thread.join()
            raise self._problem
        if self.keeper is not None:
            self.keeper.start()

    def stop(self) -> None:
        """Stop listening."""
        if self.keeper is not None:
            self.keeper.stop()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5.0)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/statusz", self._statusz),
                web.get(FLAGS, self.flags.answer),
                *self.pages,
            ]
        )
        runner = LimitedRunner(app, self.limits, idle_seconds=IDLE_SECONDS)
        try:
            self._loop.run_until_complete(runner.setup())
            site = web.TCPSite(runner, self.host, self.port)
            self._loop.run_until_complete(site.start())
        except (OSError, OverflowError) as problem:
            # Overflow: a port that is none. Without pages the daemon does not run.
            self._problem = not_listening("http.port", self.host, self.port, problem)
        finally:
            self._started.set()
        if self._problem is None:
            self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == FLAGS and self.flags.admits(request):
            return await self.flags.answer(request)
        if request.path not in PUBLIC and not self._knows(request):
            if doubt := self.access.doubt(request):
                return _answer({"error": doubt}, 403)
            if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
                raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs)}")
            answer = _answer({"error": "a token is needed: Authorization: Bearer …"}, 401)
            # A client that is no browser may ask for a user and a password: any user, and the token.
            answer.headers["WWW-Authenticate"] = 'Basic realm="rlwd", charset="UTF-8"'
            return answer
        if request.path in MACHINES and self.access.open and not is_asked_here(request):
            return _answer(
                {"error": f"asked under a name of this machine, not {request.host}"}, 403
            )
        response: web.StreamResponse = await handler(request)
        return response

    def _knows(self, request: web.Request) -> bool:
        return self.access.caller(request) is not None

    async def _livez(self, _request: web.Request) -> web.Response:
        age = time.monotonic() - self.vitals.ticked_at
        return _answer(
            {"alive": age < STUCK_SECONDS, "last_tick_seconds": round(age, 3)},
            200 if age < STUCK_SECONDS else 503,
        )

    async def _readyz(self, request: web.Request) -> web.Response:
        problems = dict(self.vitals.problems)
        if not self._knows(request):
            # Hosts, ports and paths are for those who have the token.
            problems = dict.fromkeys(problems, "see the log, or ask with the token")
        return _answer({"ready": not problems, "problems": problems}, 503 if problems else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        page = generate_latest(self.registry)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _statusz(self, _request: web.Request) -> web.Response:
        stored = await asyncio.to_thread(self.status)
        return _answer(
            {**stored, "live": self.vitals.live, "problems": dict(self.vitals.problems)}, 200
        )


def _answer(document: dict[str, Any], status: int) -> web.Response:
    return web.Response(
        body=orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS),
        status=status,
        content_type="application/json",
    )
