"""RolloutRig: a release from HTTP requests to the verdict: gateway, log, join, gate, flags, engine.

Only the model is not real: the engine is a server that answers as the served version is told to.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from fake_engine import CHAT, PLAIN, FakeEngine
from gateway_rig import HELLO, LoopThread
from ledger_by_hand import SPEC
from releases_by_hand import at_once, register, version
from waiting import until

from rlwd.daemon.control.loop import DaemonLoop
from rlwd.daemon.gateway.app import GatewaySettings, serve_gateway
from rlwd.learner.candidate import Candidate
from rlwd.learner.ledger import checkpoints_table, seal
from rlwd.ops.drift.drift_watch import DriftWatch
from rlwd.ops.engine.fleet import Fleet
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.gate.gate_run import GateRun
from rlwd.ops.looks.watched_versions import watch_drift
from rlwd.ops.rollout import candidates_table, rollouts_table
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.rollout.release import Release
from rlwd.ops.servers.process import NO_TLS
from rlwd.ops.stages.record import Rollout, Stage
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.gate import GateSettings
from rlwd.rewards.behaviours.behaviour import Measuring
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.embedded_log import EmbeddedSink, EmbeddedSource
from rlwd.streams.open import open_store
from rlwd.streams.state import lease

TOPICS = ("rlwd.generations", "rlwd.feedback")


class AdapterEngine(FakeEngine):
    """A fake engine that takes adapters, and whose answers fail where a version is told to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.known = set()
        self.paths: dict[str, str] = {}
        self.in_flight = 0
        """Answers that are being made."""
        self.scored = -1.0
        """Log-probability of each token of a probe."""
        self.refuses = ""
        """Why it loads nothing."""
        self.slow_score = 0.0
        """Seconds that a probe takes."""
        self.calls_of: dict[str, int] = {}
        """Version to the calls of tools in each of its answers."""
        self.cached_of: dict[str, int] = {}
        """Version to the tokens of a prompt that it says were cached."""
        self.held = 0
        """Requests whose slow answer was ever waited for."""
        self.answers_slowly: threading.Event | None = None
        """Where there is one, slow answers begin once it is set."""
        self.failing: dict[str, str] = {}
        """Version to how it fails: `breaks off`, `end token`, `cut`, `status 500`, `slow`, `long`,
        `now and then`: with status 500 at every third answer, or `away`: not there for nine in ten."""
        self.behaves: dict[str, Callable[[dict[str, Any]], tuple[str, str | None]]] = {}
        """Version to what says, of a request, what it answers: a text, and arguments of a call."""
        self.spells = False
        """Whether a prompt's tokens are the bytes of the last message, so that it goes on from them."""
        self.says_of: dict[str, list[str]] = {}
        """Version to what it says, in turns."""
        self.answered: dict[str, int] = {}
        """Version to the requests for it."""
        self.wrote = 0
        """Whole answers that it gave."""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post(CHAT, self.answer)
        app.router.add_post(PLAIN, self.score)
        app.router.add_get("/health", self.health)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/load_lora_adapter", self.load)
        app.router.add_post("/v1/unload_lora_adapter", self.unload)
        self.runner = web.AppRunner(app, handler_cancellation=True)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def models(self, _: web.Request) -> web.Response:
        listed = [{"id": n, "root": p, "parent": "base"} for n, p in self.paths.items()]
        base = {"id": "base", "root": "base", "parent": None}
        return web.json_response({"data": [base, *listed]})

    async def load(self, request: web.Request) -> web.Response:
        body = await request.json()
        if "lora_name" not in body:
            return web.json_response({"error": {"message": "Field required"}}, status=400)
        if self.refuses:
            return web.json_response({"error": {"message": self.refuses}}, status=400)
        self.paths[body["lora_name"]] = body["lora_path"]
        self.known.add(body["lora_name"])
        return web.Response(text="Success")

    async def unload(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        self.known.discard(name)
        self.paths.pop(name, None)
        return web.Response(text="Success")

    def restart(self, *, scored: float = -1.0, text: str = "Good") -> None:
        """Come back empty, with a base model that scores and answers so."""
        self.known.clear()
        self.paths.clear()
        # What was taken before ends before: no process answers what another one took.
        until(lambda: not self.in_flight)
        self.scored, self.TEXTS = scored, (text, *self.TEXTS[1:])

    async def score(self, request: web.Request) -> web.Response:
        """Answer a probe; the versions written by hand say -1 a token."""
        body = await request.json()
        if self.spells and "prompt_logprobs" not in body and "seed" in body:
            return await self.go_on(body)
        if "prompt_logprobs" not in body:
            likely = {"a": self.scored / body["temperature"]}
            return web.json_response({"choices": [{"logprobs": {"top_logprobs": [likely]}}]})
        await asyncio.sleep(self.slow_score)
        prompt = body["prompt"]
        scored = [None, *({str(token): {"logprob": self.scored}} for token in prompt[1:])]
        return web.json_response({"choices": [{"index": 0, "prompt_logprobs": scored}]})

    async def go_on(self, body: dict[str, Any]) -> web.Response:
        """Answer a prompt of tokens as the message that they spell; calls stand in the text."""
        model = body["model"]
        if model not in self.known:
            error = {"message": f"The model `{model}` does not exist.", "code": 404}
            return web.json_response({"error": error}, status=404)
        message = {"role": "user", "content": bytes(body["prompt"]).decode()}
        text, arguments = self.behaves[model]({**body, "messages": [message]})
        if arguments is not None:
            call = f'{{"name": "read_file", "arguments": {arguments}}}'
            text += f"<tool_call>{call}</tool_call>"
        choice = {"index": 0, "text": text, "finish_reason": "stop"}
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(text.split())}
        return web.json_response({"choices": [choice], "usage": usage})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        model = (await request.json())["model"]
        self.calls = self.calls_of.get(model, 1)
        self.cached = self.cached_of.get(model)
        how = self.failing.get(model, "")
        if how == "status 500":
            error = {"message": "CUDA error: device-side assert triggered", "code": 500}
            return web.json_response({"error": error}, status=500)
        if how == "slow" and self.answers_slowly is None:
            await asyncio.sleep(0.1)
        elif how == "slow" and self.answers_slowly is not None:
            self.held += 1
            while not self.answers_slowly.is_set():
                await asyncio.sleep(0.02)
        self.answered[model] = self.answered.get(model, 0) + 1
        if how == "away" and self.answered[model] % 10:
            error = {"message": f"The model `{model}` does not exist.", "code": 404}
            return web.json_response({"error": error}, status=404)
        if how == "now and then" and self.answered[model] % 3 == 0:
            return web.json_response({"error": {"message": "out of memory"}}, status=500)
        self.in_flight += 1
        try:
            return await super().answer(request)
        finally:
            self.in_flight -= 1

    def whole(self, body: dict[str, Any], chat: bool) -> dict[str, Any]:
        self.wrote += 1
        answer = super().whole(body, chat)
        choice, how = answer["choices"][0], self.failing.get(body["model"], "")
        if self.spells:
            spelt = list(body["messages"][-1]["content"].encode())
            answer["prompt_token_ids"] = spelt
            answer["usage"]["prompt_tokens"] = len(spelt)
        if behaves := self.behaves.get(body["model"]):
            text, arguments = behaves(body)
            function = {"name": "read_file", "arguments": arguments}
            call = {"id": "c", "type": "function", "function": function}
            calls = [] if arguments is None else [call]
            choice["message"] = {"role": "assistant", "content": text, "tool_calls": calls}
            choice["finish_reason"] = "tool_calls" if calls else "stop"
        if said := self.says_of.get(body["model"]):
            choice["message"]["content"] = said[self.wrote % len(said)]
        if how == "end token":
            choice.update(token_ids=[2], message={"role": "assistant", "content": ""})
            choice["logprobs"] = self.logprobs(body, chat, 0, 1)
            answer["usage"]["completion_tokens"] = 1
        if how == "cut":
            choice["finish_reason"] = "length"
        if how == "long":
            choice["token_ids"] = 3 * choice["token_ids"]
            choice["logprobs"]["content"] *= 3
            answer["usage"]["completion_tokens"] *= 3
        return answer

    async def stream(
        self, request: web.Request, body: dict[str, Any], chat: bool
    ) -> web.StreamResponse:
        self.dies_after = 1 if self.failing.get(body["model"]) == "breaks off" else None
        return await super().stream(request, body, chat)


class RolloutRig:
    """One engine, one gateway and one release on a folder; requests go in, verdicts come out."""

    def __init__(
        self,
        folder: Path,
        loop: LoopThread,
        stack: ExitStack,
        settings: RolloutSettings,
        *,
        engines: int = 1,
        spec: Spec = SPEC,
    ) -> None:
        self.engines = [AdapterEngine() for _ in range(engines)]
        self.engine = self.engines[0]
        self.asked = 0
        """Requests so far, for a test to count."""
        self.daemon: DaemonLoop | None = None
        """What has taken over from here."""
        for engine in self.engines:
            loop.run(engine.start())
            stack.callback(self._end, loop, engine)
        daemon = (*checkpoints_table.MIGRATIONS, *lease.MIGRATIONS, *seal.MIGRATIONS)
        tables = {"daemon": daemon, "ops": candidates_table.MIGRATIONS}
        self.store = open_store(folder / "rlwd.db", tables)
        stack.callback(self.store.close)
        log, flags = folder / "log.db", folder / "flags.json"
        self.log = log
        measure = Measuring(settings.watch.measured)
        joiner = Joiner("policy", Scorer(spec), spec.decision_seconds, measure=measure)
        self.ingest = Ingest(
            self.store, joiner, lambda resume: EmbeddedSource(log, TOPICS, resume, partitions=1)
        )
        stack.callback(self.ingest.source.close)
        self.controller = RolloutController("policy", settings)
        clients = [HttpEngine(engine.url) for engine in self.engines]
        for client in clients:
            stack.callback(client.close)
        fleet = Fleet(clients, "policy", tolerance=0.05, submit=at_once)
        gate = GateRun(fleet, GateSettings())
        self.drift = DriftWatch(self.store, "policy", settings.watch, lambda segment: 0.0)
        self.release = Release(
            self.store,
            "policy",
            self.controller,
            fleet,
            gate,
            flags=flags,
            checkpoints=folder,
            look_seconds=0.0,
            keep=lambda *_: watch_drift(self.drift, settings.anchor_share, time.time()),
        )
        self.versions: list[Candidate] = [version(number, folder) for number in range(3)]
        register(self.store, self.controller, self.versions[0])
        self.release.step(time.time())
        gateway = GatewaySettings(
            port=0,
            engines=tuple(engine.url for engine in self.engines),
            flags=str(flags),
            spool=str(folder / "spool"),
            user_key="key",
            empty_engine_seconds=0.0,
        )
        serving = serve_gateway(gateway, lambda: EmbeddedSink(log, partitions=1))
        url = loop.run(serving.__aenter__())
        stack.callback(lambda: loop.run(serving.__aexit__(None, None, None)))
        self.client = stack.enter_context(httpx.Client(base_url=url, timeout=30, verify=NO_TLS))

    @staticmethod
    def _end(loop: LoopThread, engine: AdapterEngine) -> None:
        loop.run(engine.runner.cleanup())

    def offer(self, number: int) -> None:
        """Register a version, and turn until its first users may meet it."""
        register(self.store, self.controller, self.versions[number])
        for _ in range(4):
            self.turn()
        time.sleep(0.2)  # The gateway looks at the flag file seven times a second.

    def promote_by_hand(self, number: int) -> None:
        """Have a person promote a version before anybody met it, and see its bake out, which takes no time."""
        self.offer(number)
        with self.store.transaction() as tx:
            self.controller.promote(tx, "by hand", time.time())
        for _ in range(4):
            self.turn()
        assert self.rollout.stage is Stage.SETTLED

    def ask(self, user: str, *, stream: bool = False, **more: Any) -> tuple[str, str, str]:
        """Let a user ask once; return variant, version and generation id as the client sees them."""
        body = {**HELLO, "user": user, "stream": stream, **more}
        answer = self.client.post(CHAT, json=body)
        variant = answer.headers.get("X-Rlwd-Variant", "")
        served = answer.headers.get("X-Rlwd-Version", "").partition("; ")[0]
        name = ""
        if answer.status_code == 200 and not stream:
            name = answer.json()["id"]
        return variant, served, name

    def say(self, generation: str, kind: str, **fields: Any) -> None:
        """Post feedback on an answer."""
        item = {"feedback_id": f"{generation}.{kind}", "generation_id": generation}
        signal = {"kind": kind, **fields}
        answer = self.client.post("/v1/feedback", json={**item, "signal": signal})
        assert answer.status_code == 202, answer.text

    def turn(self) -> None:
        """Take in what there is, and let the release take one step; or a daemon do both."""
        if self.daemon is not None:
            self.daemon.tick(self.daemon.clock())
            return
        self.ingest.step(time.time(), 0.0, 1000)
        self.release.step(time.time())

    def settle(self, generations: int, feedback: int = 0) -> None:
        """Turn until so many events of each kind are joined."""
        deadline = time.monotonic() + 30.0
        while True:
            self.turn()
            with self.store.reading() as view:
                came = view.execute(
                    "SELECT (SELECT COUNT(*) FROM episodes WHERE received IS NOT NULL),"
                    " (SELECT COUNT(*) FROM feedback)"
                ).fetchone()
            if came[0] >= generations and came[1] >= feedback:
                return
            assert time.monotonic() < deadline, f"{came} of {generations}, {feedback} came"
            time.sleep(0.01)

    @property
    def rollout(self) -> Rollout:
        """The newest rollout."""
        with self.store.reading() as view:
            return rollouts_table.history(view, "policy")[-1]
