"""Bodies: the JSON that a caller sent, read once, within a time and a depth."""

import asyncio
import json
from typing import Any, NoReturn

import orjson
from aiohttp import web

from ...streams.events.limits import check_depth


class BodyRefused(ValueError):
    """A body that cannot be read; `status` is what the caller gets."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_body(request: web.Request, seconds: float) -> bytes:
    """Return the bytes of a body that says it is JSON, or says nothing.

    A page of another site can send a browser's text or form without asking first, but never JSON.
    Raises BodyRefused where the type is another, the body is damaged, or it did not come in time;
    aiohttp's HTTPRequestEntityTooLarge where it is too large.
    """
    said = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if said and said != "application/json" and not said.endswith("+json"):
        raise BodyRefused(415, "Content-Type: must be application/json")
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise BodyRefused(415, "Content-Encoding: compressed bodies are not taken")
    try:
        if request.content.is_eof():
            return await request.read()  # All of it has come: nobody is waited for.
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError:
        raise BodyRefused(408, f"the body did not come within {seconds:g} s") from None
    except web.RequestPayloadError:
        raise BodyRefused(400, "the body is damaged") from None


def parse_json(raw: bytes, *, half_pairs: bool = False) -> Any:
    """Return what a JSON text says.

    With `half_pairs` strings may hold half a surrogate pair, as of an emoji that was cut in two:
    JSON can write it, UTF-8 cannot. Raises ValueError where it is not JSON or too deep.
    """
    check_depth(raw)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as problem:
        if not half_pairs:
            raise
        try:
            return json.loads(raw.decode(), parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise problem from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
