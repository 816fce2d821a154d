"""FakeEngine: answers as vLLM does (vllm.md 4.1 and 7), and can be slow, die, or not know a version."""

import asyncio
import hashlib
import json
import threading
from typing import Any

from aiohttp import web

from rlwd.ops.flags.assignment import ServedVersion

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"


def version(number: int) -> ServedVersion:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return ServedVersion(version=f"policy@v{number:06d}-{digest[:8]}", digest=digest)


class FakeEngine:
    """Answers four tokens, in vLLM's words; says what it was asked."""

    TOKENS, LOGPROBS, TEXTS = (11, 12, 13, 14), (-0.1, -0.2, -0.3, -0.4), ("Good", " ", "day", "!")

    def __init__(self) -> None:
        self.known = {version(n).version for n in range(4)}
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.dies_after: int | None = None
        self.finish = "stop"
        self.pause = 0.0
        self.left = threading.Event()
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post(CHAT, self.answer)
        app.router.add_post(PLAIN, self.answer)
        app.router.add_get("/health", self.health)
        self.runner = web.AppRunner(app, handler_cancellation=True)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        chat = request.path == CHAT
        if body["model"] not in self.known:
            error = {"message": f"The model `{body['model']}` does not exist.", "code": 404}
            return web.json_response({"error": error}, status=404)
        if chat and "messages" not in body:
            error = {"message": "messages: Field required", "type": "Bad Request", "code": 400}
            return web.json_response({"error": error}, status=400)
        try:
            await asyncio.sleep(self.pause)
            if body.get("stream"):
                return await self.stream(request, body, chat)
            return web.json_response(self.whole(body, chat))
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    def logprobs(self, body: dict[str, Any], chat: bool, start: int, stop: int) -> Any:
        values = self.LOGPROBS[start:stop]
        if chat and body.get("logprobs"):
            return {"content": [{"token": "t", "logprob": v, "top_logprobs": []} for v in values]}
        if not chat and body.get("logprobs") is not None:
            return {"token_logprobs": list(values), "tokens": ["t"] * len(values)}
        return None

    def envelope(self, body: dict[str, Any], choices: list[Any]) -> dict[str, Any]:
        kind = {"object": "chat.completion", "created": 1, "id": "chatcmpl-engine"}
        return {**kind, "model": body["model"], "choices": choices}

    def whole(self, body: dict[str, Any], chat: bool) -> dict[str, Any]:
        text = "".join(self.TEXTS)
        choice = {
            "index": 0,
            "finish_reason": self.finish,
            "logprobs": self.logprobs(body, chat, 0, 4),
            "token_ids": list(self.TOKENS),
            **({"message": {"role": "assistant", "content": text}} if chat else {"text": text}),
        }
        out = self.envelope(body, [choice])
        (out if chat else choice)["prompt_token_ids"] = [1, 2, 3]
        out["usage"] = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        return out

    async def stream(
        self, request: web.Request, body: dict[str, Any], chat: bool
    ) -> web.StreamResponse:
        out = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await out.prepare(request)

        async def send(piece: dict[str, Any]) -> None:
            await out.write(b"data: " + json.dumps(piece).encode() + b"\n\n")

        if chat:
            role = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None}
            await send({**self.envelope(body, [role]), "prompt_token_ids": [1, 2, 3]})
        for i, text in enumerate(self.TEXTS):
            if self.dies_after == i:
                assert request.transport is not None
                request.transport.abort()
                raise ConnectionResetError
            choice = {
                "index": 0,
                "finish_reason": self.finish if i == 3 else None,
                "logprobs": self.logprobs(body, chat, i, i + 1),
                "token_ids": [self.TOKENS[i]],
                **({"delta": {"content": text}} if chat else {"text": text}),
            }
            if not chat and i == 0:
                choice["prompt_token_ids"] = [1, 2, 3]
            await send(self.envelope(body, [choice]))
            await asyncio.sleep(self.pause)
        if (body.get("stream_options") or {}).get("include_usage"):
            await send({**self.envelope(body, []), "usage": {"prompt_tokens": 3}})
        await out.write(b"data: [DONE]\n\n")
        return out
