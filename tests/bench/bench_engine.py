"""Fake engine for the bench: answers at once, in vLLM's words, so that only the gateway's cost shows.

`python -m bench_engine --port N`. Nothing else uses it, and no result of it is called
vLLM's.
"""

import argparse
from typing import Any

import orjson
from aiohttp import web

TOKENS = 16
LOGPROB = -0.6931


def main() -> None:
    """Serve on loopback until stopped."""
    parser = argparse.ArgumentParser(description="Serve canned answers in vLLM's words.")
    parser.add_argument("--port", type=int, required=True)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    app.router.add_get("/health", health)
    web.run_app(app, host="127.0.0.1", port=parser.parse_args().port, access_log=None)


async def health(_: web.Request) -> web.Response:
    """Handle `/health`."""
    return web.Response()


async def answer(request: web.Request) -> web.StreamResponse:
    """Handle a chat: one chunk for each token where a stream was asked for, else one document."""
    body = orjson.loads(await request.read())
    if not body.get("stream"):
        return web.Response(body=orjson.dumps(_whole(body)), content_type="application/json")
    out = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await out.prepare(request)
    for number in range(TOKENS):
        await out.write(b"data: " + orjson.dumps(_chunk(body, number)) + b"\n\n")
    await out.write(b"data: [DONE]\n\n")
    return out


def _whole(body: dict[str, Any]) -> dict[str, Any]:
    text = "word " * TOKENS
    choice = {
        **_choice(body, TOKENS, "length"),
        "message": {"role": "assistant", "content": text},
    }
    usage = {"prompt_tokens": 3, "completion_tokens": TOKENS, "total_tokens": 3 + TOKENS}
    return {**_envelope(body, "chat.completion"), "choices": [choice], "usage": usage}


def _chunk(body: dict[str, Any], number: int) -> dict[str, Any]:
    last = number == TOKENS - 1
    choice = {**_choice(body, 1, "length" if last else None), "delta": {"content": "word "}}
    document = {**_envelope(body, "chat.completion.chunk"), "choices": [choice]}
    if number:
        document.pop("prompt_token_ids", None)
    return document


def _envelope(body: dict[str, Any], kind: str) -> dict[str, Any]:
    known = {"id": "chatcmpl-bench", "object": kind, "created": 1, "model": body["model"]}
    return {**known, "prompt_token_ids": [1, 2, 3]} if body.get("return_token_ids") else known


def _choice(body: dict[str, Any], tokens: int, finish: str | None) -> dict[str, Any]:
    entry = {"token": "word ", "logprob": LOGPROB, "bytes": None, "top_logprobs": []}
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
    if body.get("logprobs"):
        choice["logprobs"] = {"content": [entry] * tokens}
    if body.get("return_token_ids"):
        choice["token_ids"] = [7] * tokens
    return choice


if __name__ == "__main__":
    main()
