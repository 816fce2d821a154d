"""MessagesErrors: refusals in the shape that Anthropic's clients know."""

from typing import Any

import orjson

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}

NO_THREADS = "no conversation is kept here; send all of its messages"
# By which Anthropic's SDK (2.12, `lib/threads/_thread_state.py`) knows that a server keeps no threads:
# its tool runner asks for one first, and then sends the whole history.
_UNTHREADED = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


def error_object(status: int, message: str, request_id: str | None) -> dict[str, Any]:
    """Return an error of that API, its kind by its status."""
    other = "api_error" if status >= 500 else "invalid_request_error"
    told = {"type": _KINDS.get(status, other), "message": message}
    return {"type": "error", "error": told, "request_id": request_id}


def messages_error(status: int, body: bytes, request_id: str | None) -> bytes:
    """Return a refusal that was written in OpenAI's shape, or an engine's, in Anthropic's."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = body.decode(errors="replace")
    if isinstance(told, dict):
        said = told.get("error")
        told = said.get("message") if isinstance(said, dict) else said or told.get("message")
    message = str(told or "refused")
    error = error_object(status, message, request_id)
    if message == f"thread: {NO_THREADS}":
        error["error"]["details"] = _UNTHREADED
    return orjson.dumps(error)
