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
    """Return the text as UTF-8 can hold it: surrogates that make a pair become its character, as where
    an engine cuts an emoji between two pieces, and a half alone becomes `?`.

    >>> printable("\ud83d" + "\ude00"), printable("a\ud83d")
    ('\U0001f600', 'a?')
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return paired.encode("utf-8", "replace").decode()
    return text
