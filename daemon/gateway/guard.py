"""Guard: what every request passes: its page's origin, its token, its client's rate; then its answer."""

import re
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from structlog.contextvars import bind_contextvars, clear_contextvars

from ..callers.directory import TooMany
from ..doors.all_doors import DOORS, MESSAGES
from ..doors.messages_errors import messages_error
from ..http.answers import refusal
from ..http.credentials import bearer_token
from ..http.origins import allow, foreign, preflight
from .completions import CHAT, PLAIN
from .context import CALLER, CONTEXT

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
"""What the log takes as a caller's id of a request; an address or a sentence is none."""
_OPEN = frozenset(("/livez", "/readyz"))
_OPERATORS = frozenset(("/metrics",))
_GENERATES = frozenset((CHAT, PLAIN, *DOORS))


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check who asks, give refusals OpenAI's shape, and count answers."""
    context = request.app[CONTEXT]
    clear_contextvars()  # A connection's next request is another one's.
    named = request.headers.get("X-Request-Id", "")
    if _REQUEST_ID.fullmatch(named):
        bind_contextvars(request=named)
    answer = _refuse(request)
    if answer is None:
        answer = await _answer(request, handler)
    if request.path.startswith(MESSAGES) and answer.status >= 400:
        _tell_as_messages(answer)
    if request.content.exception() is not None:
        # What is left of a damaged body cannot be told from the next request.
        answer.force_close()
    resource = request.match_info.route.resource
    route = "other" if resource is None else resource.canonical
    context.metrics.requests.labels(route, str(answer.status)).inc()
    return answer


def _refuse(request: web.Request) -> web.StreamResponse | None:
    """Return why the request goes no further, or the answer to a preflight; else None."""
    clients = request.app[CONTEXT].clients
    told = request.headers
    # Anthropic's clients send a key, where they are not told to send a token.
    token = bearer_token(told.get("Authorization", "")) or told.get("X-Api-Key", "")
    caller = request[CALLER] = clients.find(token)
    asks_first = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    # A browser's first question brings no credential: it is about any.
    if foreign(request, clients.origins if asks_first else caller.origins):
        return refusal(403, "Origin: pages of this site may not call", "forbidden")
    if asks_first:
        return preflight(request)
    if request.path in _OPEN:
        return None
    if not caller.known:
        challenge = {"WWW-Authenticate": "Bearer"}
        return refusal(401, "a valid bearer token is needed", "unauthorized", challenge)
    if request.path in _OPERATORS and caller.name:
        return refusal(403, "only the operator's token opens this page", "forbidden")
    return None


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    context, caller = request.app[CONTEXT], request[CALLER]
    try:
        if request.path not in _OPEN:
            caller.spend_rate(context.clock())
        if request.path in _GENERATES:
            caller.spend("requests", context.clock())
        return await handler(request)
    except TooMany as problem:
        context.metrics.capped.labels(caller.name).inc()
        headers = {"Retry-After": str(problem.retry_after)}
        return refusal(429, str(problem), "rate_limit_exceeded", headers)
    except web.HTTPException as problem:
        allowed = {"Allow": problem.headers["Allow"]} if "Allow" in problem.headers else None
        return refusal(problem.status, problem.text or problem.reason, headers=allowed)
    except ConnectionError:
        raise  # the client is gone
    except Exception:
        log.exception("request_failed", path=request.path)
        return refusal(500, "the gateway failed", "internal_error")


def _tell_as_messages(answer: web.StreamResponse) -> None:
    """Give a refusal the shape of the API that was asked."""
    if isinstance(answer, web.Response) and isinstance(answer.body, bytes):
        request_id = answer.headers.get("X-Rlwd-Generation")
        answer.body = messages_error(answer.status, answer.body, request_id)


async def tell_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Before headers go out, tell a browser whose page may call that it may read the answer."""
    origin = request.headers.get("Origin")
    if origin is None or not foreign(request, request.app[CONTEXT].clients.origins):
        allow(request, response)
