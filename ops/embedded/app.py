"""EngineApp: the HTTP handlers of the embedded engine, vLLM's paths and statuses.

Never to be reached from outside: like vLLM's port it has no keys. An adapter is read once, when it
is loaded; its folder may go afterwards.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from jinja2 import TemplateError
from transformers import AutoTokenizer

from .completion import Vocabulary
from .decoder import Decoder
from .messages import template_messages
from .openai_api import Limits, RequestRefused, read
from .replies import BASE, Replies
from .tool_calls import offered_tools

VERSION = "rlwd-embedded"
LARGEST_BODY = 8 << 20


class EngineApp:
    """The HTTP handlers."""

    def __init__(self, model: Path, decoder: Decoder, name: str = BASE) -> None:
        self.model, self.decoder = model, decoder
        self.tokenizer: Any = AutoTokenizer.from_pretrained(model, local_files_only=True)
        self.limits = Limits(
            max_length=self.decoder.causal.max_length,
            vocabulary=self.decoder.causal.vocabulary,
            end_ids=self._end_ids(),
        )
        self.replies = Replies(self.decoder, Vocabulary(self.tokenizer), name)
        self.created = int(time.time())

    def _end_ids(self) -> frozenset[int]:
        named = getattr(self.decoder.causal.model.generation_config, "eos_token_id", None)
        ids = named if isinstance(named, list) else [named]
        return frozenset(one for one in (*ids, self.tokenizer.eos_token_id) if one is not None)

    def application(self) -> web.Application:
        """Return the paths that are served."""
        app = web.Application(middlewares=[errors], client_max_size=LARGEST_BODY)
        app.add_routes(
            [
                web.post("/v1/completions", self.complete),
                web.post("/v1/chat/completions", self.chat),
                web.post("/tokenize", self.tokenize),
                web.post("/v1/load_lora_adapter", self.load),
                web.post("/v1/unload_lora_adapter", self.unload),
                web.get("/v1/models", self.models),
                web.get("/health", self.health),
                web.get("/version", self.version),
                web.get("/metrics", self.metrics),
            ]
        )
        return app

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Answer `/v1/completions`; the prompt is a text or token ids, or a list of one such."""
        body = await read_json(request)
        prompt = self._plain_prompt(body)
        return await self.replies.reply(request, read(body, False, prompt, self.limits))

    def _plain_prompt(self, body: dict[str, Any]) -> list[int]:
        prompt = body.get("prompt")
        if isinstance(prompt, list) and any(isinstance(one, str | list) for one in prompt):
            if len(prompt) != 1:
                message = f"the embedded engine answers one prompt at a time, got {len(prompt)}"
                raise RequestRefused(400, message, param="prompt")
            prompt = prompt[0]
        if isinstance(prompt, str):
            prompt = self.tokenizer(prompt)["input_ids"]
        if not isinstance(prompt, list):
            raise RequestRefused(
                400, "prompt must be a text or a list of token ids", param="prompt"
            )
        return prompt

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer `/v1/chat/completions` through the tokenizer's chat template."""
        body = await read_json(request)
        tools = offered_tools(body, self.tokenizer.chat_template)
        prompt = self._chat_prompt(body, tools)
        asked = read(body, True, prompt, self.limits, tools=bool(tools))
        return await self.replies.reply(request, asked)

    async def tokenize(self, request: web.Request) -> web.Response:
        """Answer `/tokenize`: the token ids that a chat's messages, or a prompt, would be read as."""
        body = await read_json(request)
        chat = body.get("messages") is not None
        tools = offered_tools(body, self.tokenizer.chat_template) if chat else []
        ids = self._chat_prompt(body, tools) if chat else self._plain_prompt(body)
        told = {"count": len(ids), "max_model_len": self.limits.max_length, "tokens": ids}
        return web.json_response(told)

    def _chat_prompt(self, body: dict[str, Any], tools: list[Any]) -> list[int]:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise RequestRefused(400, "messages must be a list, not empty", param="messages")
        if self.tokenizer.chat_template is None:
            raise RequestRefused(400, f"{self.model.name} has no chat template")
        try:
            text = self.tokenizer.apply_chat_template(
                template_messages(messages, self.tokenizer.chat_template),
                tools=tools or None,
                add_generation_prompt=body.get("add_generation_prompt") is not False,
                continue_final_message=body.get("continue_final_message") is True,
                tokenize=False,
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise RequestRefused(400, f"messages: {error}", param="messages") from error
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    async def load(self, request: web.Request) -> web.Response:
        """Add an adapter; 400 where its name is taken or it is bad, 404 where there is none."""
        body = await read_json(request)
        name, path = required(body, "lora_name"), Path(required(body, "lora_path"))
        if name == self.replies.base:
            message = f"The lora adapter '{name}' conflicts with a served base model."
            raise RequestRefused(400, message, "InvalidUserInput")
        if name in self.decoder.bank.adapters:
            message = f"The lora adapter '{name}' has already been loaded."
            raise RequestRefused(400, message, "InvalidUserInput")
        if not (path / "adapter_config.json").is_file():
            message = f"Loading lora {name} failed: No adapter found for {path}"
            raise RequestRefused(404, message, "NotFoundError")
        try:
            await asyncio.wrap_future(
                self.decoder.call(lambda: self.decoder.causal.load(name, path))
            )
        except (ValueError, OSError, KeyError) as error:
            raise RequestRefused(400, f"Loading lora {name} failed: {error}") from error
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, request: web.Request) -> web.Response:
        """Forget an adapter; requests under way keep it."""
        name = required(await read_json(request), "lora_name")
        try:
            await asyncio.wrap_future(self.decoder.call(lambda: self.decoder.bank.unload(name)))
        except KeyError:
            message = f"The lora adapter '{name}' cannot be found."
            raise RequestRefused(404, message, "NotFoundError") from None
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    async def models(self, _: web.Request) -> web.Response:
        """List the base model, then the adapters with their folders."""
        base = {"root": str(self.model), "parent": None, "max_model_len": self.limits.max_length}
        adapters = list(self.decoder.bank.adapters.values())
        entries: list[dict[str, Any]] = [
            {"id": self.replies.base, **base},
            *({"id": one.name, "root": one.path, "parent": self.replies.base} for one in adapters),
        ]
        known: dict[str, Any] = {"object": "model", "created": self.created, "owned_by": "rlwd"}
        return json_response({"object": "list", "data": [known | entry for entry in entries]})

    async def health(self, _: web.Request) -> web.Response:
        """Say 200 while the decoder's thread lives."""
        return web.Response(status=200 if self.decoder.thread.is_alive() else 503)

    async def version(self, _: web.Request) -> web.Response:
        """Say what this is."""
        return json_response({"version": VERSION})

    async def metrics(self, _: web.Request) -> web.Response:
        """Tell the few series that matter, in Prometheus' text format."""
        values = {
            "requests_running gauge": self.decoder.running,
            "requests_waiting gauge": self.decoder.waiting,
            "adapters gauge": len(self.decoder.bank.adapters),
            "generation_tokens_total counter": self.replies.tokens_made,
        }
        lines = ["# TYPE rlwd_engine_requests_total counter"]
        for finish, count in self.replies.finished.items():
            lines.append(f'rlwd_engine_requests_total{{finish="{finish}"}} {count}')
        for name, value in values.items():
            lines += [f"# TYPE rlwd_engine_{name}", f"rlwd_engine_{name.split()[0]} {value}"]
        return web.Response(text="\n".join(lines) + "\n")


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn a refusal into OpenAI's error object."""
    try:
        return await handler(request)
    except RequestRefused as refusal:
        return json_response(refusal.body(), refusal.status)


def json_response(body: Any, status: int = 200) -> web.Response:
    """Return a JSON answer."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


async def read_json(request: web.Request) -> dict[str, Any]:
    """Return the request's JSON object; Refused, status 400, where it is not one."""
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise RequestRefused(400, f"JSON decode error: {error}", "Bad Request", "body") from error
    if not isinstance(body, dict):
        raise RequestRefused(400, "the body must be a JSON object", "Bad Request", "body")
    return body


def required(body: dict[str, Any], name: str) -> str:
    """Return a text field; Refused, status 400, where it is not there."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise RequestRefused(400, f"{name}: Field required", "Bad Request", f"body.{name}")
    return value
