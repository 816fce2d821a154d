"""Forward: hands a request on to a version's server, and its answer back as it comes."""

from typing import Any

import aiohttp
import orjson
from aiohttp import web

from ..engine.kept_connections import KEPT_SECONDS
from .served_versions import RouterRefusal
from .version_server import VersionServer

ASKED = ("Content-Type", "X-Request-Id")
"""Headers that go on to the server: vLLM obeys some that clients must not set."""
TOLD = ("Content-Type",)


class Forward:
    """Asks servers over kept-alive connections."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def ask(
        self, request: web.Request, body: dict[str, Any], server: VersionServer
    ) -> web.StreamResponse:
        """Return the server's answer to a request, piece by piece.

        Raises RouterRefusal, 404, where the server is gone before it answered: whoever asked can take another
        version. One that goes in mid-answer breaks the connection off, as an engine does that dies.
        """
        try:
            raw = orjson.dumps({**body, "model": server.version})
        except orjson.JSONEncodeError as problem:
            # It is read deeper than it is written.
            raise RouterRefusal(
                400, "Bad Request", f"the body cannot be written: {problem}"
            ) from problem
        headers = {name: request.headers[name] for name in ASKED if name in request.headers}
        server.under_way += 1
        try:
            try:
                answer = await self._post(server.url + request.path, raw, headers)
                streamed = answer.content_type == "text/event-stream"
                whole = b"" if streamed else await answer.read()
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as problem:
                said = f"The model `{server.version}` is away: {problem}"
                raise RouterRefusal(404, "NotFoundError", said) from problem
            told = {name: answer.headers[name] for name in TOLD if name in answer.headers}
            if not streamed:
                return web.Response(body=whole, status=answer.status, headers=told)
            async with answer:
                return await _stream(request, answer, told)
        finally:
            server.under_way -= 1

    async def _post(self, url: str, raw: bytes, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Ask, and once more where the connection was closed under us, as servers do with idle ones."""
        try:
            return await self.session.post(url, data=raw, headers=headers, allow_redirects=False)
        except aiohttp.ClientConnectorError:
            raise
        except aiohttp.ClientConnectionError:
            return await self.session.post(url, data=raw, headers=headers, allow_redirects=False)


async def _stream(
    request: web.Request, answer: aiohttp.ClientResponse, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            await response.write(piece)
    except aiohttp.ClientError:
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def open_session() -> aiohttp.ClientSession:
    """Return a session for the servers: an answer may take as long as who asked for it waits."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_SECONDS),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
    )
