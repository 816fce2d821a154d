"""Origins: which pages of the web may call, and what a browser is told about it (CORS)."""

from collections.abc import Iterable

from aiohttp import web

_EXPOSED = "X-Rlwd-Generation, X-Rlwd-Version, X-Rlwd-Variant, X-Request-Id, ETag, Retry-After"
_SENT = (
    "Authorization, X-Api-Key, Content-Type, If-None-Match, X-Rlwd-Session, X-Rlwd-User, X-Rlwd-Segment,"
    " X-Rlwd-Consent, X-Rlwd-Tenant, X-Rlwd-Parent, X-Rlwd-Harness,"
    " X-Rlwd-Tool-Call, X-Rlwd-Side-Request, X-Rlwd-Version"
)
PREFLIGHT_SECONDS = 600


def foreign(request: web.Request, allowed: Iterable[str]) -> bool:
    """Return whether a page asks that may not; who is no browser sends no Origin.

    A page may be shown under our own host's name by its owner's DNS, so its own host is not enough.
    """
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin not in allowed
    return request.headers.get("Sec-Fetch-Site") == "cross-site"


def preflight(request: web.Request) -> web.Response:
    """Answer a browser that asks what an allowed page may send."""
    headers = {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": _SENT,
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return web.Response(status=204, headers=headers)


def allow(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the browser that this page may read the answer."""
    origin = request.headers.get("Origin")
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    response.headers.add("Vary", "Origin")
