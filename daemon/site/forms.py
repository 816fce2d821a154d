"""Forms: logging in and out, and what people decide of versions; each does what its command does."""

import asyncio
from urllib.parse import parse_qsl, quote

from aiohttp import web

from ...streams.state.store import Store
from ..by_hand.decisions import decide, take_back
from ..by_hand.flag_wait import FLAG_SECONDS, wait_for_gateways
from ..config import Config
from ..http.access import COOKIE, SESSION_SECONDS, Access, is_asked_here, is_own_page, tidy_name
from .frame import Site

ACTIONS = ("promote", "reject", "pause", "resume", "rollback")
FORM = "application/x-www-form-urlencoded"
MOST_FORM_BYTES = 20_000
REASON_LETTERS = 2000
LOG_IN = "/login"
GATEWAY_SECONDS = 5.0
"""How long a form waits for every gateway to act on it; the overview says the rest."""


class Forms:
    """The routes that change something; none is followed from another site's page."""

    def __init__(self, config: Config, store: Store, access: Access, site: Site) -> None:
        self.config, self.store, self.access, self.site = config, store, access, site

    def routes(self) -> list[web.RouteDef]:
        """Return the forms' routes."""
        return [
            web.get(LOG_IN, self._ask),
            web.post(LOG_IN, self._log_in),
            web.post("/logout", self._log_out),
            web.post("/decide", self._decide),
        ]

    async def _ask(self, request: web.Request) -> web.Response:
        wanted = own_path(request.query.get("next", "/"))
        if self.access.caller(request) is not None:
            raise web.HTTPSeeOther(wanted)
        return self.site.page("login.html", None, next=wanted, wrong="")

    async def _log_in(self, request: web.Request) -> web.Response:
        form = await _read(request)
        wanted, wrong = own_path(form.get("next", "/")), "This is not the token."
        cookie = None
        if not is_own_page(request):
            wrong = "The form was sent from another site's page."
        elif not self.access.token:
            wrong = "There is no token to log in with: see http.token and http.user_header."
        elif self.access.must_wait(remote := request.remote or ""):
            wrong = "Too many wrong tokens came from your address: wait a minute, and try again."
        else:
            token, name = form.get("token", ""), form.get("name", "")
            cookie = self.access.begin_session(token, name, remote)
        if cookie is None:
            return self.site.page("login.html", None, status=403, next=wanted, wrong=wrong)
        answer = web.HTTPSeeOther(wanted)
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=_is_secure(request),
        )
        raise answer

    async def _log_out(self, request: web.Request) -> web.Response:
        form, caller = await _read(request), self.access.caller(request)
        answer = web.HTTPSeeOther(LOG_IN)
        if caller is not None and self.access.is_own_form(request, caller, form.get("form", "")):
            answer.del_cookie(COOKIE)
        raise answer

    async def _decide(self, request: web.Request) -> web.Response:
        form, caller = await _read(request), self.access.caller(request)
        assert caller is not None, "the server lets nobody in who may not"
        here = not self.access.open or is_asked_here(request)
        if not here or not self.access.is_own_form(request, caller, form.get("form", "")):
            why = "This form was not sent from our own page, or by somebody else; load it again."
            return self.site.page("error.html", None, status=403, title="Not done", why=why)
        action, version = form.get("action", ""), form.get("version", "")
        by = caller.name if caller.how == "proxy" else tidy_name(form.get("by", ""))
        why = " ".join(form.get("reason", "").split())[:REASON_LETTERS]
        back = f"/rollouts/{quote(version, safe='@')}" if version else "/rollouts"
        try:
            said, good = await asyncio.to_thread(self._do, action, version, by, why)
        except (ValueError, ConnectionError, TimeoutError) as problem:
            said, good = f"Not done: {problem}", False
        raise web.HTTPSeeOther(f"{back}?note={self.site.note(said, good=good)}")

    def _do(self, action: str, version: str, by: str, why: str) -> tuple[str, bool]:
        if action not in ACTIONS:
            raise ValueError(f"{action}: there is no such decision")
        if not by or (not why and action != "resume"):
            raise ValueError("who decides and why must be filled in: it goes into the trail")
        if action == "rollback":
            done = take_back(self.config, self.store, version, f"{by}: {why}")
            said, flagged, writer = done.sentence, done.flagged, done.by
        else:
            said, flagged, writer = decide(
                self.config, self.store, action, version, by, why, FLAG_SECONDS
            )
        if flagged:
            reach = wait_for_gateways(self.config, self.store, GATEWAY_SECONDS)
            said = f"{said}. Flags: {reach.sentence}."
        else:
            said = f"{said}. The flag file does not say so yet: {writer} is to write it."
        return said, flagged


def own_path(path: str) -> str:
    """Return a path of this site to go on to; the first page for anything else.

    >>> own_path("/rollouts"), own_path("//evil.example"), own_path("https://evil.example")
    ('/rollouts', '/', '/')
    """
    clean = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if clean else "/"


async def _read(request: web.Request) -> dict[str, str]:
    """Return a form's fields, as our own pages send them; empty for one that is too long or damaged.

    Whoever reaches the port may send anything: what is no form of ours is no error of ours.
    """
    if request.content_type != FORM or (request.content_length or 0) > MOST_FORM_BYTES:
        return {}
    try:
        body = await request.read()
    except web.RequestPayloadError:
        return {}
    if len(body) > MOST_FORM_BYTES:
        return {}
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _is_secure(request: web.Request) -> bool:
    """Return whether the browser came by TLS; a proxy says so."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "") == "https"
