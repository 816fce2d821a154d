"""ScriptedJudge: a chat endpoint that answers as it is told to, and misbehaves worse than a real one."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web


class ScriptedJudge:
    """A chat endpoint that answers as it is told to; what it was asked is kept."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.script: Callable[[dict[str, Any], int], str] = lambda body, number: (
            '{"direction": "dissatisfied"}'
        )
        self.status: Callable[[int], int] = lambda number: 200
        self.headers: dict[str, str] = {}
        self.slow = 0.0
        self.holds = ""
        self.drips = False
        self.squeezes = False
        self.models: list[str] | None = None
        self.raw: bytes | None = None
        self.tokens: object = 10
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        app.router.add_get("/v1/models", self.list_models)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/v1"

    async def list_models(self, _: web.Request) -> web.Response:
        if self.models is None:
            raise web.HTTPNotFound
        return web.json_response({"data": [{"id": name} for name in self.models]})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        number = len(self.asked)
        self.asked.append({**body, "authorization": request.headers.get("Authorization")})
        await asyncio.sleep(self.slow)
        # A text with these words gets no answer until there are others.
        while self.holds and self.holds in str(body["messages"]):
            await asyncio.sleep(0.01)
        if self.drips:
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(100):
                await response.write(b" ")
                await asyncio.sleep(0.05)
            return response
        if self.raw is not None:
            return web.Response(body=self.raw, content_type="application/json")
        if (status := self.status(number)) != 200:
            return web.Response(status=status, text="out of memory", headers=self.headers)
        message = {"role": "assistant", "content": self.script(body, number)}
        answer = {"choices": [{"message": message}], "usage": {"total_tokens": self.tokens}}
        response = web.json_response(answer, headers=self.headers)
        if self.squeezes:
            response.enable_compression(web.ContentCoding.gzip)
        return response
