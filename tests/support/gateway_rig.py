"""GatewayRig: a gateway on a fake engine and a sink that records, for tests that speak HTTP to it."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
from fake_engine import CHAT, PLAIN, FakeEngine, version
from waiting import until

from rlwd.daemon.gateway.app import GatewaySettings, serve_gateway
from rlwd.daemon.telemetry.tracing import Tracing
from rlwd.daemon.workers.worker import GatewayWorker
from rlwd.ops.flags.assignment import Shares, holdout_salt
from rlwd.ops.flags.flag_file import write_flags
from rlwd.ops.flags.flag_state import FlagState, to_document
from rlwd.ops.servers.process import NO_TLS
from rlwd.streams.events.event import Event, Feedback, FeedbackEvent, GenerationEvent, decode_event
from rlwd.streams.events.generation import Generation
from rlwd.streams.log.ports import EventSink

__all__ = ["CHAT", "PLAIN", "version"]

HELLO = {"model": "rlwd", "messages": [{"role": "user", "content": "hi"}]}


class RecordingSink:
    """Decodes what was flushed; away, it refuses."""

    def __init__(self) -> None:
        self.away = False
        self.queue: list[Event] = []
        self.flushed: list[Event] = []

    def __call__(self) -> "RecordingSink":
        return self

    def send(self, topic: str, key: str, value: bytes) -> None:
        event = decode_event(value)
        generation = isinstance(event, GenerationEvent)
        assert topic == ("rlwd.generations" if generation else "rlwd.feedback")
        assert key == event.data.session_id
        self.queue.append(event)

    def flush(self, timeout_seconds: float) -> None:
        if self.away:
            raise ConnectionError("away")
        self.flushed += self.queue
        self.queue = []

    def close(self) -> None:
        self.queue = []

    def wait(self, count: int) -> list[Event]:
        deadline = time.monotonic() + 10
        while len(self.flushed) < count:
            assert time.monotonic() < deadline, f"{len(self.flushed)} of {count} events came"
            time.sleep(0.01)
        return self.flushed

    def generations(self, count: int) -> list[Generation]:
        return [e.data for e in self.wait(count) if isinstance(e, GenerationEvent)]

    def feedback(self, count: int) -> list[Feedback]:
        return [e.data for e in self.wait(count) if isinstance(e, FeedbackEvent)]


class LoopThread:
    """An event loop in a thread, for servers that synchronous tests talk to."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def close(self) -> None:
        self.run(self._end_what_is_left())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _end_what_is_left(self) -> None:
        """A client may have connected while its server closed; nobody else would close that."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0)
        for transport in list(getattr(self.loop, "_transports", {}).values()):
            transport.abort()
        await asyncio.sleep(0)


class GatewayRig:
    """One engine, one gateway, one sink, one flag file."""

    def __init__(self, folder: Path, loop: LoopThread, stack: ExitStack) -> None:
        self.folder, self.loop, self.stack = folder, loop, stack
        self.engine, self.sink = FakeEngine(), RecordingSink()
        loop.run(self.engine.start())
        stack.callback(lambda: loop.run(self.engine.runner.cleanup()))
        self.flags = folder / "flags.json"
        self.generation = 0
        self.settings = GatewaySettings(
            empty_engine_seconds=0.0,
            stop_seconds=10.0,
            port=0,
            engines=(self.engine.url,),
            flags=str(self.flags),
            spool=str(folder / "spool"),
            user_key="key",
            base_digest="base",
            tokenizer_digest="tok",
        )

    def set_flags(self, candidate: int = 0, anchor: int = 0, shadow: int = 0) -> FlagState:
        self.generation += 1
        state = FlagState(
            policy="policy",
            generation=self.generation,
            salt="salt-1",
            holdout_salt=holdout_salt("policy"),
            champion=version(2),
            previous=version(1),
            anchor=version(0),
            candidate=version(3),
            shares=Shares(candidate=candidate, anchor=anchor),
            shadow=version(3) if shadow else None,
            shadow_share=shadow,
        )
        return write_flags(self.flags, to_document(state))

    def open(
        self,
        sink: Callable[[], EventSink] | None = None,
        life: ExitStack | None = None,
        clock: Callable[[], float] = time.time,
        tracing: Tracing | None = None,
        worker: GatewayWorker | None = None,
        **changes: Any,
    ) -> httpx.Client:
        settings = msgspec.structs.replace(self.settings, **changes)
        serving = serve_gateway(
            settings, sink or self.sink, clock=clock, tracing=tracing, worker=worker
        )
        url = self.loop.run(serving.__aenter__())
        ending = self.stack if life is None else life
        ending.callback(lambda: self.loop.run(serving.__aexit__(None, None, None)))
        return self.stack.enter_context(httpx.Client(base_url=url, timeout=30, verify=NO_TLS))


def stream(client: httpx.Client, path: str, body: dict[str, Any], **kw: Any) -> list[Any]:
    """Return the chunks of a stream, `[DONE]` left out but asserted."""
    with client.stream("POST", path, json={**body, "stream": True}, **kw) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line[6:] for line in response.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def wait_for(true: Callable[[], bool]) -> None:
    """Wait until something is the case; a gateway that does not answer yet is not it."""

    def answered() -> bool:
        try:
            return true()
        except httpx.TransportError:
            return False

    until(answered, pause=0.05)
