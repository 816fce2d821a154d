"""FakeEngine: answers as vLLM does (docs/vllm.md 4.1 and 7), and misbehaves on purpose.

No engine that can be had here lingers, breaks off or miscounts when it is told to. Told nothing, it is
a well-behaved one.
"""

import asyncio
import hashlib
import json
import threading
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from rlwd.ops.flags.assignment import ServedVersion

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"


def version(number: int) -> ServedVersion:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return ServedVersion(version=f"policy@v{number:06d}-{digest[:8]}", digest=digest)


@dataclass(kw_only=True)
class Misbehaviour:
    """What goes wrong."""

    linger: float = 0.0
    """Seconds that the connection stays open after `[DONE]`."""
    line_end: bytes = b"\n"
    """CRLF and CR are as right as LF."""
    last_blank_line: bool = True
    """End the last event as the standard says."""
    done: bool = True
    """Say `[DONE]`."""
    torn: bool = False
    """Send every byte on its own."""
    comments: bool = False
    """Send comments and event names between the chunks."""
    nan_at: int | None = None
    """Token whose log-probability is NaN."""
    usage_says: int | None = None
    """Completion tokens that the usage counts."""
    drops_ids_at: int | None = None
    """Chunk that comes without its token ids."""
    odd_ids: bool = False
    """Token ids that are none."""
    error_at: int | None = None
    """Token in whose place an error comes."""
    error_code: int = 500
    """Code in that error."""
    padding: int = 0
    """Bytes that make each chunk huge."""
    status: int = 200
    """Answer with this status instead."""
    words: str = ""
    """What such an answer says."""
    retry_after: str = ""
    """Header of such an answer."""
    raw_body: bytes | None = None
    """Answer with these bytes instead, as JSON."""
    closes_after: int | None = None
    """Token before which the stream ends as if all were said."""


class FakeEngine:
    """Answers four tokens, in vLLM's words; says what it was asked."""

    TOKENS, LOGPROBS, TEXTS = (11, 12, 13, 14), (-0.1, -0.2, -0.3, -0.4), ("Good", " ", "day", "!")

    def __init__(self) -> None:
        self.known = {version(n).version for n in range(4)}
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.dies_after: int | None = None
        self.finish: str | None = "stop"
        self.arguments = '{"a": 1, "b": 2}'
        self.reasoning = ""
        self.pause = 0.0
        self.cached: int | None = None
        """Tokens of the prompt that the usage says were cached; None says nothing."""
        self.thought: int | None = None
        """Tokens of the answer that the usage says were reasoning; None says nothing."""
        self.calls = 1
        """Calls of tools in an answer to a request with tools."""
        self.tool, self.rounds = "add", 1
        """Which tool is called, and so often before its results are used."""
        self.slow: dict[str, float] = {}
        """Version to the seconds that it takes to answer."""
        self.statuses: dict[str, int] = {}
        """Version to the status that it answers with instead."""
        self.routed: str | None = None
        """What a whole answer says of the experts that its tokens went to, as vLLM does."""
        self.busy: tuple[int, int] | None = (0, 0)
        """Requests that wait and that run, as its metrics tell; None tells nothing."""
        self.wrong = Misbehaviour()
        self.left = threading.Event()
        self.url = ""

    async def start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post(CHAT, self.answer)
        app.router.add_post(PLAIN, self.answer)
        app.router.add_post("/tokenize", self.tokenize)
        app.router.add_get("/health", self.health)
        app.router.add_get("/metrics", self.metrics)
        self.runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def metrics(self, _: web.Request) -> web.Response:
        """Tell what vLLM tells of its load, among much else."""
        if self.busy is None:
            return web.Response(status=404)
        waiting, running = self.busy
        page = (
            "# TYPE vllm:num_requests_waiting gauge\n"
            f'vllm:num_requests_waiting{{engine="0",model_name="base"}} {waiting:.1f}\n'
            'vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0\n'
            f'vllm:num_requests_running{{engine="0",model_name="base"}} {running:.1f}\n'
            'vllm:kv_cache_usage_perc{engine="0",model_name="base"} 0.01\n'
        )
        return web.Response(text=page)

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
        if self.wrong.status != 200 or body["model"] in self.statuses:
            return self.refuse(body)
        try:
            await asyncio.sleep(self.slow.get(body["model"], self.pause))
            if self.wrong.raw_body is not None:
                return web.Response(body=self.wrong.raw_body, content_type="application/json")
            if body.get("stream"):
                return await self.stream(request, body, chat)
            return web.Response(
                text=json.dumps(self.whole(body, chat)), content_type="application/json"
            )
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def tokenize(self, request: web.Request) -> web.Response:
        """Count a token for each message and tool; misbehave as with an answer."""
        body = await request.json()
        self.asked.append(body)
        if body["model"] not in self.known:
            return web.json_response({"detail": "Not Found"}, status=404)
        if self.wrong.status != 200:
            return self.refuse(body)
        if self.wrong.raw_body is not None:
            return web.Response(body=self.wrong.raw_body, content_type="application/json")
        tokens = list(range(len(body["messages"]) + len(body.get("tools", ()))))
        return web.json_response({"count": len(tokens), "max_model_len": 9, "tokens": tokens})

    def refuse(self, body: dict[str, Any]) -> web.Response:
        message = self.wrong.words or f"{body['model']} failed at {self.url} in /srv/models"
        status = self.statuses.get(body["model"], self.wrong.status)
        error = {"message": message, "type": "X", "code": status}
        headers = {"Retry-After": self.wrong.retry_after} if self.wrong.retry_after else None
        return web.json_response({"error": error}, status=status, headers=headers)

    def logprobs(self, body: dict[str, Any], chat: bool, start: int, stop: int) -> Any:
        values = list(self.LOGPROBS)
        if self.wrong.nan_at is not None:
            values[self.wrong.nan_at] = float("nan")
        values = values[start:stop]
        if chat and body.get("logprobs"):
            told: list[dict[str, Any]] = [
                {"token": "t", "logprob": v, "top_logprobs": [], "bytes": None} for v in values
            ]
            return {"content": told}
        if not chat and body.get("logprobs") is not None:
            return {"token_logprobs": list(values), "tokens": ["t"] * len(values)}
        return None

    def envelope(self, body: dict[str, Any], choices: list[Any]) -> dict[str, Any]:
        kind = {"object": "chat.completion", "created": 1, "id": "chatcmpl-engine"}
        if body.get("stream"):
            kind["object"] = "chat.completion.chunk"
        out = {**kind, "model": body["model"], "choices": choices}
        if self.wrong.padding:
            out["padding"] = "x" * self.wrong.padding
        return out

    def ids(self, start: int, stop: int) -> Any:
        return ["t", -1.5] if self.wrong.odd_ids else list(self.TOKENS[start:stop])

    def usage(self) -> dict[str, Any]:
        wrong = self.wrong.usage_says
        count = len(self.TOKENS) if wrong is None else wrong
        told: dict[str, Any] = {"prompt_tokens": 3, "completion_tokens": count}
        told["total_tokens"] = 3 + count
        if self.cached is not None:
            told["prompt_tokens_details"] = {"cached_tokens": self.cached}
        if self.thought is not None:
            told["completion_tokens_details"] = {"reasoning_tokens": self.thought}
        return told

    def whole(self, body: dict[str, Any], chat: bool) -> dict[str, Any]:
        text = "".join(self.TEXTS)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if self.calls_now(body):
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": self.told_calls(body, whole=True),
            }
        if self.reasoning:
            message["reasoning"] = self.reasoning
        choice = {
            "index": 0,
            "finish_reason": self.end_of(body),
            "logprobs": self.logprobs(body, chat, 0, 4),
            "token_ids": self.ids(0, 4),
            **({"message": message} if chat else {"text": text}),
        }
        if self.routed is not None:
            choice["routed_experts"] = self.routed
        out = self.envelope(body, [choice])
        (out if chat else choice)["prompt_token_ids"] = [1, 2, 3]
        out["usage"] = self.usage()
        return out

    def end_of(self, body: dict[str, Any]) -> str | None:
        return "tool_calls" if self.calls_now(body) and self.finish == "stop" else self.finish

    def calls_now(self, body: dict[str, Any]) -> bool:
        """Once the tools' results have come, they are used, and no tool is called again."""
        came = self.came(body)
        back = any(one.get("role") == "tool" for one in body.get("messages", ()))
        return bool(body.get("tools")) and not (back and came >= self.rounds)

    @staticmethod
    def came(body: dict[str, Any]) -> int:
        """Return how many answers with calls the conversation has."""
        return sum(bool(one.get("tool_calls")) for one in body.get("messages", ()))

    def told_calls(self, body: dict[str, Any], *, whole: bool) -> list[dict[str, Any]]:
        function = {"name": self.tool, "arguments": self.arguments}
        before = self.calls * self.came(body)
        calls = [
            {"index": n, "id": f"call-{before + n + 1}", "type": "function", "function": function}
            for n in range(self.calls)
        ]
        return [{**call, "index": None} if whole else call for call in calls]

    def call_pieces(self, body: dict[str, Any], i: int) -> list[dict[str, Any]]:
        """Each call in pieces, as vLLM streams it: its name first, its arguments bit by bit."""
        half = len(self.arguments) // 2
        bit = ("", self.arguments[:half], self.arguments[half:])[i]
        pieces = list[dict[str, Any]]()
        for call in self.told_calls(body, whole=False):
            function = {**call["function"], "arguments": bit} if i == 0 else {"arguments": bit}
            named = call if i == 0 else {"index": call["index"]}
            pieces.append({**named, "function": function})
        return pieces

    async def stream(
        self, request: web.Request, body: dict[str, Any], chat: bool
    ) -> web.StreamResponse:
        out = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await out.prepare(request)
        if chat:
            role = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None}
            await self.send(out, {**self.envelope(body, [role]), "prompt_token_ids": [1, 2, 3]})
        for i in range(len(self.TOKENS)):
            if self.dies_after == i:
                assert request.transport is not None
                request.transport.abort()
                raise ConnectionResetError
            if self.wrong.closes_after == i:
                return out
            if self.wrong.error_at == i:
                told = {"message": f"{body['model']} broke in {self.url}", "type": "X"}
                await self.send(out, {"error": {**told, "code": self.wrong.error_code}})
                break
            await self.send(out, self.chunk(body, chat, i))
            await asyncio.sleep(self.pause)
        if (body.get("stream_options") or {}).get("include_usage"):
            await self.send(out, {**self.envelope(body, []), "usage": self.usage()})
        if self.wrong.done:
            await self.write(out, b"data: [DONE]", last=True)
        await asyncio.sleep(self.wrong.linger)
        return out

    def chunk(self, body: dict[str, Any], chat: bool, i: int) -> dict[str, Any]:
        last = i == len(self.TOKENS) - 1
        delta: dict[str, Any] = {"content": self.TEXTS[i]}
        if self.calls_now(body):
            delta = {"tool_calls": self.call_pieces(body, i)} if i < 3 else {}
        if self.reasoning and i == 0:
            delta = {**delta, "reasoning": self.reasoning}
        choice = {
            "index": 0,
            "finish_reason": self.end_of(body) if last else None,
            "logprobs": self.logprobs(body, chat, i, i + 1),
            "token_ids": self.ids(i, i + 1),
            **({"delta": delta} if chat else {"text": self.TEXTS[i]}),
        }
        if self.wrong.drops_ids_at == i:
            del choice["token_ids"]
        if not chat and i == 0:
            choice["prompt_token_ids"] = [1, 2, 3]
        return self.envelope(body, [choice])

    async def send(self, out: web.StreamResponse, piece: dict[str, Any]) -> None:
        if self.wrong.comments:
            named = f"event: {piece.get('model', '')}".encode()
            await self.write(out, b": ping")
            await self.write(out, named + self.wrong.line_end + b"data: " + dumped(piece))
        else:
            await self.write(out, b"data: " + dumped(piece))

    async def write(self, out: web.StreamResponse, event: bytes, *, last: bool = False) -> None:
        blank = self.wrong.line_end * (2 if self.wrong.last_blank_line or not last else 0)
        raw = event + blank
        for piece in [raw[n : n + 1] for n in range(len(raw))] if self.wrong.torn else [raw]:
            await out.write(piece)


def dumped(piece: dict[str, Any]) -> bytes:
    # As vLLM's own: NaN stays NaN.
    return json.dumps(piece).encode()
