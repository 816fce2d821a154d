"""Frame: what all pages of a daemon have: who may see them, their frame, and notes of what was done."""

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

from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..charts.words import FILTERS
from ..config import Config
from ..http.access import Access, Visitor, is_asked_here
from ..http.query import AskedWrongly, NotHere
from ..status.server import Vitals
from .counted import StillCounting

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
AGAIN = "2"
"""Seconds after which a browser asks again for a page that is not there yet."""
COUNTING = (
    "All answers are counted for the first time since the daemon began; this page comes by itself once"
    " they are. Problems, rollouts and the learner's page are there already."
)

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What came of a form, shown once it was sent."""

    text: str
    """In plain words."""
    good: bool
    """Whether it was done."""


class Site:
    """The frame of one daemon's pages. They read the tables; what they decide goes the commands' way."""

    def __init__(self, config: Config, store: Store, vitals: Vitals, access: Access) -> None:
        self.config, self.store, self.vitals, self.access = config, store, vitals, access
        self._notes: dict[str, Note] = {}

    def files(self) -> list[web.RouteDef]:
        """Return the routes of what pages load."""
        return [web.get(path, self._file) for path in FILES]

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

    def shows(
        self,
        template: str,
        here: str,
        read: Callable[[Transaction, web.Request], Mapping[str, Any]],
    ) -> Handler:
        """Return the handler of a page that is read from one view of the tables.

        `here` is its place among the links on top. Where `read` raises AskedWrongly the page says so
        with 400, where NotHere with 404.
        """

        def work(request: web.Request) -> Mapping[str, Any]:
            with self.store.reading() as view:
                return read(view, request)

        return self.tells(template, here, work)

    def tells(
        self, template: str, here: str, work: Callable[[web.Request], Mapping[str, Any]]
    ) -> Handler:
        """Return the handler of a page whose content comes from `work`, called in a thread."""

        async def handler(request: web.Request, caller: Visitor) -> web.Response:
            content = await asyncio.to_thread(work, request)
            note = self._notes.get(request.query.get("note", ""))
            return self.page(template, caller, here=here, **{"note": note, **content})

        return self._guarded(handler)

    def _guarded(self, shown: Callable[[web.Request, Visitor], Awaitable[web.Response]]) -> Handler:
        """Return a handler for those who may see a page; a database that is away is said."""

        async def handler(request: web.Request) -> web.Response:
            caller = self.access.caller(request)
            assert caller is not None, "the server lets nobody in who may not"
            if self.access.open and not is_asked_here(request):
                why = f"These pages are asked for under a name of this machine, not {request.host}."
                return self.page("error.html", None, status=403, title="Not here", why=why)
            again = {}
            try:
                return await shown(request, caller)
            except StillCounting:
                told = (503, "Counting", COUNTING)
                again = {"Retry-After": AGAIN, "Refresh": AGAIN}
            except AskedWrongly as wrong:
                told = (400, "Asked for wrongly", str(wrong))
            except NotHere as missing:
                told = (404, "Not known", str(missing))
            except (ConnectionError, TimeoutError) as problem:
                told = (503, "Not now", f"The database is away: {problem}")
            note = self._notes.get(request.query.get("note", ""))
            status, title, why = told
            page = self.page("error.html", caller, status=status, title=title, why=why, note=note)
            page.headers.update(again)
            return page

        return handler

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
