"""Site: the daemon's pages for people, and the forms by which they decide of versions."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...ops.rollout import champions_table, rollouts_table
from ...streams.state.store import Store
from ..config import Config
from ..http.access import Access, Visitor, is_asked_here
from ..status.server import Vitals
from .chart import line_chart
from .curves import Curves, read_curves
from .drift import read_drift
from .overview import overview
from .readings import read_readings
from .readout import read_readout
from .rollout_list import read_list
from .tools import read_tools
from .trials import read_experiments, read_holdout
from .words import FILTERS

SHOWN, LISTED = 8, 500
"""Rollouts on the overview, and in the list."""
CURVES_SECONDS = 30.0
"""How long curves are shown before they are read anew."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self';"
    " connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Without any referrer a browser would send no Origin with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FILES = {"/site.css": "text/css", "/site.js": "text/javascript", "/site.svg": "image/svg+xml"}
NOTES_KEPT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What came of a form, shown once it was sent."""

    text: str
    """In plain words."""
    good: bool
    """Whether it was done."""


class Site:
    """The pages of one daemon. They read the tables; what they decide goes the commands' way."""

    def __init__(
        self,
        config: Config,
        store: Store,
        vitals: Vitals,
        access: Access,
        status: Callable[[], dict[str, Any]],
    ) -> None:
        self.config, self.store, self.vitals = config, store, vitals
        self.access, self.status = access, status
        self._curves: tuple[float, Curves] | None = None
        self._notes: dict[str, Note] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the pages."""
        return [
            web.get("/", self._guarded(self._overview)),
            web.get("/rollouts", self._guarded(self._list)),
            web.get("/rollouts/{version}", self._guarded(self._readout)),
            web.get("/tools", self._guarded(self._tools)),
            web.get("/readings", self._guarded(self._readings)),
            *(web.get(path, self._file) for path in FILES),
        ]

    def note(self, text: str, *, good: bool) -> str:
        """Keep a note until it is asked for; return its name."""
        name = secrets.token_urlsafe(9)
        self._notes[name] = Note(text=text, good=good)
        while len(self._notes) > NOTES_KEPT:
            self._notes.pop(next(iter(self._notes)))
        return name

    def page(
        self, name: str, caller: Visitor | None, *, status: int = 200, **content: Any
    ) -> web.Response:
        """Render a template with what every page shows."""
        known = {
            "policy": self.config.policy,
            "visitor": caller,
            "open": self.access.open,
            "form_token": self.access.form_token(caller) if caller else "",
            "now": time.time(),
            "problems": dict(self.vitals.problems),
            "note": None,
            "here": "",
        }
        text = _templates().get_template(name).render({**known, **content})
        return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)

    def _guarded(
        self, shown: Callable[[web.Request, Visitor], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return a handler for those who may see a page; a database that is away is said."""

        async def handler(request: web.Request) -> web.Response:
            caller = self.access.caller(request)
            assert caller is not None, "the server lets nobody in who may not"
            if self.access.open and not is_asked_here(request):
                why = f"These pages are asked for under a name of this machine, not {request.host}."
                return self.page("error.html", None, status=403, title="Not here", why=why)
            try:
                return await shown(request, caller)
            except (ConnectionError, TimeoutError) as problem:
                away = f"The database is away: {problem}"
                return self.page("error.html", caller, status=503, title="Not now", why=away)

        return handler

    async def _overview(self, request: web.Request, caller: Visitor) -> web.Response:
        content = await asyncio.to_thread(self._read_overview)
        return self.page("overview.html", caller, here="/", note=self._note(request), **content)

    def _read_overview(self) -> dict[str, Any]:
        stored, live = self.status(), dict(self.vitals.live)
        policy, now, steps = self.config.policy, time.time(), len(self.config.rollout.steps)
        with self.store.reading() as view:
            if self._curves is None or now - self._curves[0] > CURVES_SECONDS:
                self._curves = now, read_curves(view, policy)
            rows = read_list(view, policy, limit=SHOWN, steps=steps)
            current = rollouts_table.current(view, policy)
            under_way = None
            if current is not None:
                under_way = read_readout(view, policy, current.version, now, steps=steps)
            held = rollouts_table.hold(view, policy)
            champion = champions_table.find_champion(view, policy)
            serves = "" if champion is None else champion.version
            let_out = bool(serves) and rollouts_table.find(view, policy, serves) is not None
            held_out = read_holdout(view, policy, self.config.rollout.anchor_share)
            experiments = read_experiments(view, policy)
            drift = read_drift(view, policy)
        return {
            **overview(stored, live, dict(self.vitals.problems)),
            "rows": rows,
            "under_way": under_way,
            "held": held,
            "serves": serves,
            "let_out": let_out,
            "holdout": held_out,
            "experiments": experiments,
            "drift": drift,
            "curves": (curves := self._curves[1]),
            "reward_chart": line_chart("reward", "Reward by version over time", curves.reward),
            "accept_chart": line_chart(
                "accepted", "Accept rate by version over time", curves.accepted
            ),
        }

    async def _list(self, request: web.Request, caller: Visitor) -> web.Response:
        def read() -> dict[str, Any]:
            policy, steps = self.config.policy, len(self.config.rollout.steps)
            with self.store.reading() as view:
                return {
                    "rows": read_list(view, policy, limit=LISTED, steps=steps),
                    "held": rollouts_table.hold(view, policy),
                }

        content = await asyncio.to_thread(read)
        note = self._note(request)
        return self.page("rollouts.html", caller, here="/rollouts", note=note, **content)

    async def _readout(self, request: web.Request, caller: Visitor) -> web.Response:
        version = request.match_info["version"]

        def read() -> dict[str, Any] | None:
            steps = len(self.config.rollout.steps)
            with self.store.reading() as view:
                found = read_readout(view, self.config.policy, version, time.time(), steps=steps)
                held = rollouts_table.hold(view, self.config.policy)
            return None if found is None else {**found, "held": held}

        content = await asyncio.to_thread(read)
        note = self._note(request)
        if content is None:
            why = f"{version} never had a rollout here."
            return self.page(
                "error.html", caller, status=404, title="No rollout", why=why, note=note
            )
        return self.page("readout.html", caller, here="/rollouts", note=note, **content)

    async def _tools(self, request: web.Request, caller: Visitor) -> web.Response:
        def read() -> dict[str, Any]:
            with self.store.reading() as view:
                return read_tools(view, self.config.policy)

        content = await asyncio.to_thread(read)
        return self.page("tools.html", caller, here="/tools", **content)

    async def _readings(self, request: web.Request, caller: Visitor) -> web.Response:
        def read() -> dict[str, Any]:
            config, folder = self.config, self.config.state_path / "readers"
            with self.store.reading() as view:
                return read_readings(view, config.policy, config.satisfaction, folder)

        content = await asyncio.to_thread(read)
        return self.page("readings.html", caller, here="/readings", **content)

    def _note(self, request: web.Request) -> Note | None:
        return self._notes.get(request.query.get("note", ""))

    async def _file(self, request: web.Request) -> web.Response:
        text, kind = _text(request.path[1:]), FILES[request.path]
        headers = {**HEADERS, "Cache-Control": "public, max-age=300"}
        return web.Response(text=text, content_type=kind, headers=headers)


@cache
def _text(name: str) -> str:
    return (Path(__file__).parent / name).read_text()


@cache
def _templates() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Any] = FILTERS
    found.filters.update(filters)
    return found
