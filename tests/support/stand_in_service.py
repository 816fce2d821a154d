"""Stand-in of a training service: speaks the Tinker API's wire, trains for real, and misbehaves on demand.

No Tinker service can be had here. Behind this wire, whose bytes are those of the official client
library, stands our own learner on a tiny model. It behaves at least as badly as the real part: one run is
alive at a time and a restart forgets what was not saved; `POST /stand-in/faults` orders refusals, answers
that get lost after the work was done, and long waits.

    python -m stand_in_service --model FOLDER --folder STATE --port N
"""

import argparse
import asyncio
import shutil
import uuid
from pathlib import Path
from typing import Any

import msgspec
import orjson
import zstandard
from aiohttp import web
from safetensors.torch import load_file, save_file
from stand_in_wire import data_of, outputs_of, said_badly, sampled
from tinker.proto import tinker_public_pb2 as wire
from tiny_learner import TINY

from rlwd.learner.service.own_training import OwnTraining
from rlwd.learner.service.port import AdamStep, ContentsRefused, Datum, ServiceClosed
from rlwd.learner.train.state import LearnerSnapshot

KEY, BASE, PROTO = "tml-stand-in", "stand-in/tiny", "application/x-protobuf"
Body = dict[str, Any]
SLOW_SECONDS = 0.5


class Fault(msgspec.Struct):
    """What happens to the next requests of a path."""

    path: str
    """Its last part: `optim_step`."""
    kind: str
    """`lost`: done, and the answer never comes; `restart`: the process forgets what is not saved, and
    answers 503; `failed`: accepted, and refused later; `pending`: not ready yet; `slow`: done half a second
    later; `short`, `nameless`: a pass of which a token too few is told, or nothing; of `files`, `short` is one
    without its end; empty: nothing; else a status."""
    times: int = 1
    """How many of them."""


class Gone(Exception):
    """There is no such session, run, promise or checkpoint."""


class StandInService:
    """One learner, whose training runs take turns; only the latest is alive."""

    def __init__(self, model: Path, folder: Path, rank: int) -> None:
        changes = {
            "model": str(model),
            "kl_weight": 0.0,
            "lora_rank": rank,
            "lora_alpha": float(rank),
        }
        self.own = OwnTraining(msgspec.structs.replace(TINY, **changes))
        self.folder, self.faults = folder, list[Fault]()
        self.counts = {"steps": 0, "requests": 0, "restarts": 0, "answered_again": 0}
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("weights/*.safetensors"):
            self.own.saved[path.stem] = self._read(path)
        self.forget_all()

    def forget_all(self) -> None:
        """Lose what a restart loses."""
        self.run, self.sessions = "", set[str]()
        self.promises: dict[str, Body | bytes] = {}

    def do(self, path: str, given: Body | wire.ForwardBackwardRequest) -> Body | bytes:
        """Carry out one request that answers by a promise."""
        if isinstance(given, wire.ForwardBackwardRequest):
            self._alive(given.model_id)
            if given.loss_fn != "cross_entropy":
                raise ContentsRefused(f"the stand-in has no loss {given.loss_fn}")
            data, lengths = data_of(given)
            passed = self.own.logprobs if given.forward_only else self.own.forward_backward
            return outputs_of(passed(data), lengths)
        if path == "asample":
            return self._sample(given)
        if path in ("create_model", "load_weights"):
            return self._begin(given)
        self._alive(given["model_id"])
        if path == "optim_step":
            adam = given["adam_params"]
            named = {key: adam[key] for key in ("learning_rate", "beta1", "beta2", "eps")}
            self.own.step(AdamStep(**named, clip_norm=adam["grad_clip_norm"]))
            self.counts["steps"] += 1
            return {"metrics": {}}
        if path == "save_weights":
            return {"type": path, "path": self._save(given["path"])}
        folder = self.folder / "external_weights" / given["path"]
        self.own.export(given["path"], folder)
        return {"type": path, "path": f"tinker://{self.run}/external_weights/{given['path']}"}

    def delete(self, kind: str, name: str) -> None:
        """Delete a checkpoint."""
        path = self.folder / kind / (f"{name}.safetensors" if kind == "weights" else name)
        if not path.exists():
            raise Gone(f"{kind}/{name}")
        if kind == "weights":
            self.own.forget([name])
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _alive(self, run: str) -> None:
        if run != self.run:
            raise Gone(f"run {run}")

    def _begin(self, given: Body) -> Body:
        if given["session_id"] not in self.sessions:
            raise Gone(given["session_id"])
        base, rank = given.get("base_model"), given.get("lora_config", {}).get("rank")
        ours = self.own.learner.settings.lora_rank
        if base not in (None, BASE) or rank not in (None, ours):
            raise ContentsRefused(f"base {base}, rank {rank}: the stand-in has {BASE} at {ours}")
        named = given["path"].rpartition("/")[2] if "path" in given else None
        if named is not None and named not in self.own.saved:
            raise Gone(given["path"])
        self.own.begin(named)
        self.run = f"{given['session_id']}:train:{given['model_seq_id']}"
        return {"type": given["type"], "model_id": self.run}

    def _sample(self, given: Body) -> bytes:
        ids = [token for chunk in given["prompt"]["chunks"] for token in chunk["tokens"]]
        asked = Datum(prompt_token_ids=tuple(ids[:1]), token_ids=tuple(ids[1:]))
        return sampled(self.own.base_logprobs([asked])[0], self.own.learner.policy, ids)

    def _save(self, name: str) -> str:
        self.own.save(name)
        kept = self.own.saved[name]
        path = self.folder / "weights" / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        parts = {"weights": kept.weights, "moments": kept.moments}
        save_file(
            {f"{part}//{key}": each for part, of in parts.items() for key, each in of.items()}, path
        )
        return f"tinker://{self.run}/weights/{name}"

    def _read(self, path: Path) -> LearnerSnapshot:
        found: dict[str, dict[str, Any]] = {"weights": {}, "moments": {}}
        for key, tensor in load_file(path).items():
            part, _, name = key.partition("//")
            found[part][name] = tensor
        now = self.own.learner.snapshot()
        return LearnerSnapshot(**found, estimators=now.estimators, average=None)


class StandInDoor:
    """The stand-in's HTTP side."""

    def __init__(self, service: StandInService) -> None:
        self.service, self._turn = service, asyncio.Lock()

    def app(self) -> web.Application:
        """Return the routes."""
        app = web.Application(client_max_size=1 << 26)
        checkpoint = "/api/v1/training_runs/{run}/checkpoints/{kind}/{name}"
        app.add_routes(
            [
                web.get("/health", self.empty),
                web.post("/stand-in/faults", self.order),
                web.delete("/stand-in/faults", self.order),
                web.get("/stand-in/counts", self.counts),
                web.get(f"{checkpoint}/external_weights_urls", self.urls),
                web.delete(checkpoint, self.deleted),
                web.get("/files/{name}/{file}", self.file),
                web.post("/api/v1/sessions/{session}/finish", self.empty),
                web.post("/api/v1/client/{config}", self.empty),
                web.post("/api/v1/{path}", self.asked),
            ]
        )
        return app

    async def empty(self, request: web.Request) -> web.Response:
        """Answer that it is well."""
        return web.json_response({})

    async def counts(self, request: web.Request) -> web.Response:
        """Return what was done so far."""
        return web.json_response(self.service.counts)

    async def order(self, request: web.Request) -> web.Response:
        """Take an order of faults, or take all orders back."""
        if request.method == "DELETE":
            self.service.faults.clear()
        else:
            self.service.faults += msgspec.json.decode(await request.read(), type=list[Fault])
        return web.json_response({})

    async def asked(self, request: web.Request) -> web.StreamResponse:
        """Answer any of the API's calls, as badly as was ordered."""
        path, service = request.match_info["path"], self.service
        service.counts["requests"] += 1
        if request.headers.get("X-API-Key") != KEY:
            return web.json_response({"detail": "who are you?"}, status=401)
        kind = self._fault(path)
        if kind.isdigit():
            return web.json_response({"detail": "ordered"}, status=int(kind))
        if kind == "restart":
            service.forget_all()
            service.counts["restarts"] += 1
            return web.json_response({"detail": "ordered"}, status=503)
        if kind == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        async with self._turn:
            try:
                answer = await self._answer(request, path, kind)
            except Gone as gone:
                return web.json_response({"detail": f"not found: {gone}"}, status=404)
        if kind == "lost" and request.transport is not None:
            request.transport.close()
        return answer

    async def _answer(self, request: web.Request, path: str, kind: str) -> web.Response:
        raw = await request.read()
        if path == "forward_backward":
            if request.headers.get("Content-Encoding") == "zstd":
                raw = zstandard.ZstdDecompressor().decompress(raw)
            message = wire.ForwardBackwardRequest.FromString(raw)
            return await self._promised(path, message, (message.model_id, message.seq_id), kind)
        given: Body = orjson.loads(raw)
        session = f"session-{uuid.uuid4().hex[:8]}"
        match path:
            case "create_session":
                self.service.sessions.add(session)
                return web.json_response({"type": path, "session_id": session})
            case "session_heartbeat":
                return web.json_response({"type": path})
            case "create_sampling_session":
                return web.json_response({"type": path, "sampling_session_id": session})
            case "get_info":
                data = {"model_name": BASE, "arch": "tiny", "tokenizer_id": BASE}
                return web.json_response({"model_id": given["model_id"], "model_data": data})
            case "retrieve_future":
                return self._retrieved(given["request_id"], kind)
        if "model_seq_id" in given:
            key = (f"{given['session_id']}:train", given["model_seq_id"])
        else:
            run = given.get("model_id") or given["sampling_session_id"]
            key = (run, given["seq_id"])
        return await self._promised(path, given, key, kind)

    async def _promised(
        self, path: str, given: Any, key: tuple[Any, Any], kind: str
    ) -> web.Response:
        """Do a call whose number is new, and answer with its promise; of a known one with the same."""
        name, promises = f"{key[0]}#{key[1]}", self.service.promises
        if name in promises:
            self.service.counts["answered_again"] += 1
        else:
            try:
                if kind == "failed":
                    raise ContentsRefused("ordered")
                found = await asyncio.to_thread(self.service.do, path, given)
                if isinstance(found, bytes) and kind in ("short", "nameless"):
                    found = said_badly(found, kind)
                promises[name] = found
            except (ContentsRefused, ServiceClosed, ValueError) as refused:
                promises[name] = {"error": str(refused), "category": "user"}
        ids = {"sample_sequence_ids": [name]} if path == "asample" else {}
        return web.json_response({"request_id": name, **ids})

    def _retrieved(self, name: str, kind: str) -> web.Response:
        if name not in self.service.promises:
            raise Gone(f"promise {name}")
        if kind == "pending":
            return web.json_response(
                {"type": "try_again", "request_id": name, "queue_state": "paused_capacity"}
            )
        found = self.service.promises[name]
        if isinstance(found, bytes):
            return web.Response(body=found, content_type=PROTO)
        return web.json_response(found)

    async def urls(self, request: web.Request) -> web.Response:
        """Return where a checkpoint's files are."""
        folder = self.service.folder / "external_weights" / request.match_info["name"]
        at = f"{request.scheme}://{request.host}/files/{folder.name}"
        found = {path.name: f"{at}/{path.name}" for path in folder.iterdir()}
        return web.json_response({"urls": found, "expires": "2100-01-01T00:00:00Z"})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Return one file."""
        name, file = request.match_info["name"], request.match_info["file"]
        path = self.service.folder / "external_weights" / name / file
        if (kind := self._fault("files")).isdigit():
            return web.Response(status=int(kind))
        if kind == "short":
            return web.Response(body=path.read_bytes()[:-8])
        return web.FileResponse(path)

    async def deleted(self, request: web.Request) -> web.Response:
        """Delete a checkpoint."""
        try:
            self.service.delete(request.match_info["kind"], request.match_info["name"])
        except Gone as gone:
            return web.json_response({"detail": f"not found: {gone}"}, status=404)
        return web.Response(status=204)

    def _fault(self, path: str) -> str:
        for fault in self.service.faults:
            if fault.path == path and fault.times > 0:
                fault.times -= 1
                return fault.kind
        return ""


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="Stand-in of a training service")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--folder", type=Path, required=True, help="where what is saved lies")
    parser.add_argument("--port", type=int, required=True, help="on loopback")
    parser.add_argument("--rank", type=int, default=8, help="of its adapters")
    given = parser.parse_args()
    app = StandInDoor(StandInService(given.model, given.folder, given.rank)).app()
    web.run_app(app, host="127.0.0.1", port=given.port, print=None)


if __name__ == "__main__":
    main()
