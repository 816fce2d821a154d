"""Answers: errors in the shape that OpenAI's clients know."""

from collections.abc import Mapping

import orjson
from aiohttp import web

JSON = "application/json"


def refusal(
    status: int,
    message: str,
    kind: str = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return an error with its status; `message` is for the caller and names no place of ours."""
    body = error_body(status, message, kind)
    return web.Response(status=status, body=body, content_type=JSON, headers=headers)


def error_body(status: int, message: str, kind: str) -> bytes:
    """Return the JSON of such an error."""
    told = {"message": printable(message), "type": kind, "param": None, "code": status}
    return orjson.dumps({"error": told})


def printable(text: str) -> str:
    """Return the text with `?` for halves of surrogate pairs, which no UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()
