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
        error = told.get("error")
        told = error.get("message") if isinstance(error, dict) else error or told.get("message")
    return orjson.dumps(error_object(status, str(told or "refused"), request_id))
