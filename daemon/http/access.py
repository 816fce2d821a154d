"""Access: who a request to the daemon's pages is from: a token, a session, a proxy, or this machine."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from .credentials import basic_password, bearer_token, same_token

COOKIE = "rlwd_session"
SESSION_SECONDS = 12 * 3600
NAME_LETTERS = 80
FAILURES, FAILURE_SECONDS = 10, 60.0
"""So many wrong tokens from one address in so many seconds, and the form takes none from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks."""

    name: str
    """As it goes into the trail; empty where nobody said."""
    how: str
    """open (this machine), token, session or proxy."""


class Access:
    """Who may see the pages. Sessions outlive a restart, and end with the token that began them."""

    def __init__(
        self,
        token: str = "",
        *,
        user_header: str = "",
        proxies: tuple[str, ...] = (),
        names: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`user_header` is believed from one of `proxies`, of what is asked under one of `names`."""
        self.token, self.user_header, self.clock = token, user_header, clock
        self.proxies = frozenset(map(ip_address, proxies))
        self.names = frozenset(name.lower() for name in names)
        base = token.encode("utf-8", "surrogatepass") if token else secrets.token_bytes(32)
        self._key = hashlib.sha256(b"rlwd pages\0" + base).digest()
        self._failures: dict[str, list[float]] = {}

    @property
    def open(self) -> bool:
        """Whether everybody who reaches the port is let in: it is on this machine alone."""
        return not self.token and not self.user_header

    def caller(self, request: web.Request) -> Visitor | None:
        """Return who asks; None for somebody who may not."""
        named = self._named(request)
        if named and not self.doubt(request):
            return Visitor(name=named[0], how="proxy")
        given = request.headers.get("Authorization", "")
        shown = bearer_token(given) or basic_password(given)
        if self.token and shown and same_token(shown, self.token):
            return Visitor(name="", how="token")
        of_session = self._session(request.cookies.get(COOKIE, ""))
        if of_session is not None:
            return Visitor(name=of_session, how="session")
        return Visitor(name="", how="open") if self.open else None

    def doubt(self, request: web.Request) -> str:
        """Return why a proxy's word is not taken, for who set it up; empty where it is, or there is none."""
        named = self._named(request)
        if len(named) > 1:
            # One came with the request, from whoever sent it, and nobody can tell which.
            return (
                f"{self.user_header} came {len(named)} times: the proxy must set it in the place of"
                " what a client sends, and not add its own (docs/pages.md)"
            )
        if named and not (is_asked_here(request) or asked_name(request) in self.names):
            return (
                f"asked under {request.host[:80]!r}, which is none of http.names:"
                f" {self.user_header} is not believed (docs/pages.md)"
            )
        return ""

    def _named(self, request: web.Request) -> list[str]:
        """Return whom a proxy of ours says that it let in: one name, where all is well."""
        if not self.user_header or not request.remote:
            return []
        try:
            if ip_address(request.remote) not in self.proxies:
                return []
        except ValueError:
            return []
        given = [tidy_name(one) for one in request.headers.getall(self.user_header, ())]
        return given if any(given) else []

    def begin_session(self, token: str, name: str, remote: str = "") -> str | None:
        """Return a cookie's value for who shows the token; None for a wrong one, or too many.

        Counted by address: who guesses must not keep those out who know it.
        """
        if self.must_wait(remote):
            return None
        if not self.token or not same_token(token, self.token):
            self._failures.setdefault(remote, []).append(self.clock())
            return None
        told = f"{int(self.clock()) + SESSION_SECONDS}.{_encoded(tidy_name(name))}"
        return f"{told}.{self._sign('session', told)}"

    def must_wait(self, remote: str) -> bool:
        """Return whether so many wrong tokens came from an address that no more are looked at."""
        since = self.clock() - FAILURE_SECONDS
        lately = {
            one: kept
            for one, at in self._failures.items()
            if (kept := [t for t in at if t > since])
        }
        self._failures = lately
        return len(lately.get(remote, ())) >= FAILURES

    def form_token(self, caller: Visitor) -> str:
        """Return what a form of this caller's must bring back: another site cannot read it."""
        return self._sign("form", f"{caller.how} {caller.name}")

    def is_own_form(self, request: web.Request, caller: Visitor, given: str) -> bool:
        """Return whether a form was filled in on our own page, by this caller."""
        return is_own_page(request) and same_token(given, self.form_token(caller))

    def _session(self, cookie: str) -> str | None:
        """Return the name in a session's cookie; None for one that is over, or not ours."""
        told, _, signature = cookie.rpartition(".")
        if not self.token or not told or not same_token(signature, self._sign("session", told)):
            return None
        expires, _, name = told.partition(".")
        return _decoded(name) if self.clock() < int(expires) else None

    def _sign(self, what: str, told: str) -> str:
        message = f"{what} {told}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def is_own_page(request: web.Request) -> bool:
    """Return whether no page of another site made the browser ask."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2].lower() != request.host.lower():
        return False
    return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")


def is_asked_here(request: web.Request) -> bool:
    """Return whether the Host is a name of this machine's.

    A page of the web may be shown under a name that its owner's DNS points here: the browser lets it
    read what it asks for under that name.
    """
    name = asked_name(request)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def asked_name(request: web.Request) -> str:
    """Return the Host without its port, in small letters; empty for what is none."""
    try:
        return urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return ""


def tidy_name(name: str) -> str:
    """Return a name as one line of at most 80 printable letters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    return line[:NAME_LETTERS]


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode("utf-8", "replace")).decode()


def _decoded(name: str) -> str:
    return base64.urlsafe_b64decode(name.encode()).decode()
