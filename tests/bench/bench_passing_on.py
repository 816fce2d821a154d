"""What a proxy of the gateway's HTTP library costs that only passes bytes on: the least that a gateway can cost.

It reads a request, asks the engine the same and hands its answer on as it comes: it looks into nothing, keeps
nothing and writes nothing.
"""

import argparse

import aiohttp
from aiohttp import web
from bench_gateway import CHAT

from rlwd.ops.servers.process import LOOPBACK

ENGINE = web.AppKey("engine", str)
ASKS = web.AppKey("asks", aiohttp.ClientSession)


async def pass_on(request: web.Request) -> web.StreamResponse:
    """Answer as the engine does."""
    body, asks = await request.read(), request.app[ASKS]
    headers = {"Content-Type": "application/json"}
    async with asks.post(request.app[ENGINE] + CHAT, data=body, headers=headers) as answer:
        if "Content-Length" in answer.headers:
            content = await answer.read()
            return web.Response(body=content, content_type=answer.content_type)
        streamed = web.StreamResponse(headers={"Content-Type": answer.headers["Content-Type"]})
        await streamed.prepare(request)
        async for chunk in answer.content.iter_any():
            await streamed.write(chunk)
        return streamed


async def healthy(_: web.Request) -> web.Response:
    """Say that it listens."""
    return web.Response()


async def make_app(engine: str) -> web.Application:
    """Return the application before an engine."""
    app = web.Application()
    app[ENGINE] = engine
    app[ASKS] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    app.router.add_post(CHAT, pass_on)
    app.router.add_get("/health", healthy)
    return app


def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--engine", required=True)
    given = parser.parse_args()
    web.run_app(make_app(given.engine), host=LOOPBACK, port=given.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
