"""RouterApp: the HTTP handlers of `rlwd router`: those of vLLM that rlwd uses, with a server behind each name.

To the daemon and the gateways it is an engine whose adapters are versions of full weights.
"""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from ..engine.engine_load import EngineLoad, load_of
from .forward import Forward, open_session
from .served_versions import BASE, RouterRefusal, ServedVersions
from .version_server import VersionServer

VERSION = "rlwd-router"
LARGEST_BODY = 64 << 20
ANSWERED = ("/v1/completions", "/v1/chat/completions", "/tokenize")
"""What is handed on; nothing else of a server can be reached through here."""
LOAD_SECONDS = 2.0


class RouterApp:
    """The HTTP handlers."""

    def __init__(self, versions: ServedVersions, base: Path, token: str = "") -> None:
        """`base` is the folder of the base model; with a token callers have to bring it."""
        self.versions, self.base, self.token = versions, base, token
        self.created = int(time.time())
        config = orjson.loads((base / "config.json").read_bytes())
        inner = config.get("text_config") or config
        self.longest = inner.get("max_position_embeddings")
        self._forward: Forward | None = None

    def application(self) -> web.Application:
        """Return the paths that are served."""
        app = web.Application(middlewares=[self._guarded], client_max_size=LARGEST_BODY)
        app.add_routes(
            [
                *(web.post(path, self.answer) for path in ANSWERED),
                web.post("/v1/load_lora_adapter", self.load),
                web.post("/v1/unload_lora_adapter", self.unload),
                web.get("/v1/models", self.models),
                web.get("/health", self.health),
                web.get("/version", self.version),
                web.get("/metrics", self.metrics),
            ]
        )
        app.cleanup_ctx.append(self._connected)
        return app

    async def _connected(self, _: web.Application) -> AsyncIterator[None]:
        async with open_session() as session:
            self._forward = Forward(session)
            yield

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Ask for the token, and turn a refusal into OpenAI's error object."""
        try:
            if self.token and request.path != "/health":
                given = request.headers.get("Authorization", "")
                wanted = f"Bearer {self.token}".encode()
                # A header may hold bytes that are no text.
                if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted):
                    raise RouterRefusal(401, "AuthenticationError", "the token is not engine.token")
            return await handler(request)
        except RouterRefusal as refused:
            error = {"message": str(refused), "type": refused.kind, "code": refused.status}
            error["param"] = "model" if refused.status == 404 else None
            return _json({"error": error}, refused.status)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Hand a request on to the server of the version that it names."""
        assert self._forward is not None, "the application began"
        body = await _read(request)
        return await self._forward.ask(request, body, self.versions.find(_text(body, "model")))

    async def load(self, request: web.Request) -> web.Response:
        """Serve a version under a name; 503 StillStarting while its server is on its way."""
        body = await _read(request)
        name, link = _text(body, "lora_name"), Path(_text(body, "lora_path"))
        if name == BASE:
            raise RouterRefusal(400, "InvalidUserInput", f"{name!r} is a served base model")
        self.versions.load(name, link)
        return web.Response(text=f"Success: version '{name}' is served.")

    async def unload(self, request: web.Request) -> web.Response:
        """Forget a name; what is under way is answered to its end."""
        name = _text(await _read(request), "lora_name")
        self.versions.unload(name)
        return web.Response(text=f"Success: version '{name}' is served no more.")

    async def models(self, _: web.Request) -> web.Response:
        """List the base model, then what is served now."""
        known: dict[str, Any] = {"object": "model", "created": self.created, "owned_by": "rlwd"}
        base = {"id": BASE, "root": str(self.base), "parent": None, "max_model_len": self.longest}
        served = [
            {"id": name, "root": link, "parent": BASE}
            for name, link in self.versions.listed().items()
        ]
        return _json({"object": "list", "data": [known | one for one in (base, *served)]})

    async def health(self, _: web.Request) -> web.Response:
        """Say 200: which versions are served is told by `/v1/models`."""
        return web.Response()

    async def version(self, _: web.Request) -> web.Response:
        """Say what this is."""
        return _json({"version": VERSION, "slots": self.versions.terms.settings.slots})

    async def metrics(self, _: web.Request) -> web.Response:
        """Tell what waits and runs, over all servers, in Prometheus' text format."""
        servers = list(self.versions.servers.values())
        up = [one for one in servers if one.up]
        told = [one for one in await asyncio.gather(*map(self._load, up)) if one is not None]
        values = {
            "vllm:kv_cache_usage_perc": max((one.cache for one in told), default=0.0),
            "rlwd_router_servers": len(up),
            "rlwd_router_starting": len(servers) - len(up),
            "rlwd_router_slots": self.versions.terms.settings.slots,
        }
        if len(told) == len(up):
            # One that does not tell has no room, as far as anybody knows: then none is told.
            values["rlwd_engine_requests_waiting"] = sum(one.waiting for one in told)
            values["rlwd_engine_requests_running"] = sum(one.running for one in told)
        lines = [f"# TYPE {name} gauge\n{name} {value}" for name, value in values.items()]
        lines += ["# TYPE rlwd_router_server_info gauge", *map(_info, servers)]
        return web.Response(text="\n".join(lines) + "\n")

    async def _load(self, server: VersionServer) -> EngineLoad | None:
        assert self._forward is not None, "the application began"
        timeout = aiohttp.ClientTimeout(total=LOAD_SECONDS)
        try:
            async with self._forward.session.get(f"{server.url}/metrics", timeout=timeout) as page:
                return load_of(await page.read())
        except (aiohttp.ClientError, TimeoutError):
            return None


def _info(server: VersionServer) -> str:
    labels = {
        "version": server.version,
        "slot": server.slot,
        "pid": server.pid or "",
        "up": str(server.up).lower(),
        "restarts": server.restarts,
    }
    told = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"rlwd_router_server_info{{{told}}} 1"


def _json(body: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


async def _read(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise RouterRefusal(400, "Bad Request", f"JSON decode error: {error}") from error
    if not isinstance(body, dict):
        raise RouterRefusal(400, "Bad Request", "the body must be a JSON object")
    return body


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise RouterRefusal(400, "Bad Request", f"{name}: Field required")
    return value
