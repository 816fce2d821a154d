"""Shadow: a share of the champion's requests, asked of a candidate too and shown to nobody.

After a person has their answer the candidate is asked the same, where the engine has room. Whoever
comes meanwhile goes first: the mirrored request is given up and counted. What was answered ends in
one event, which holds how it ended and how long it is, and nothing of what it says.
"""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
import structlog
from aiohttp import web

from ...ops.flags.assignment import BUCKETS, Assignment, ServedVersion, Variant, bucket
from ...streams.events.generation import shadow_id
from ..capture.engine_json import read_engine_json
from ..engines.engine_pool import EngineResponse
from ..engines.engine_room import EngineRoom
from ..spool.spool import Kind
from .context import GatewayContext
from .generation_record import GenerationRecord

log = structlog.get_logger()

WATCH_SECONDS = 0.25
"""So often a mirrored request looks whether somebody waits."""
NOT_KEPT = "a mirrored answer is not kept"
_TOLD_ONLY = ("logprobs", "top_logprobs", "return_token_ids", "stream_options")
"""Fields that change what is told of an answer, and not the answer."""


class ShadowMirror:
    """Mirrors one gateway's requests; nothing of it is waited for by anybody.

    Not thread-safe. What it gives up, and why, is counted in `rlwd_gateway_shadow_total`.
    """

    def __init__(self, context: GatewayContext) -> None:
        self.context, self.room = context, EngineRoom(context.engine_pool)
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: Counter[str] = Counter()  # by engine

    def after(self, record: GenerationRecord) -> None:
        """Mirror a request that has just ended, where flags and limits say so.

        Only the champion's, that the engine took and the person waited for; consent is asked as for
        whatever is kept. One over the limit is dropped, and none is queued.
        """
        context, policy = self.context, record.identity.policy
        state = context.policies.state_of(policy)
        if state is None or state.shadow is None or record.answer is None:
            return
        # A session that keeps an older version, and a fallback, are compared with nothing.
        if record.assignment.variant is not Variant.CHAMPION:
            return
        if record.answer.served != state.champion:
            return
        if not record.identity.keeps or record.finish in ("", "abort", "refused"):
            return
        if _place(state.shadow, record.generation_id) >= state.shadow_share:
            return
        if len(self._tasks) >= context.settings.shadow_concurrency:
            self._count("busy")
            return
        mirrored = _mirrored(record, state.shadow, state.generation)
        task = asyncio.create_task(self._mirror(mirrored, record.answer.engine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _count(self, outcome: str) -> None:
        self.context.metrics.shadow.labels(outcome).inc()

    async def _has_room(self, engine: str) -> bool:
        beside = self.context.settings.shadow_beside
        return await self.room.has_room(engine, beside=beside, ours=self._asked[engine])

    async def _mirror(self, record: GenerationRecord, engine: str) -> None:
        if not await self._has_room(engine):
            self._count("no_room")
            return
        self._asked[engine] += 1
        asking = asyncio.create_task(self._ask(record, engine))
        try:
            while not (await asyncio.wait({asking}, timeout=WATCH_SECONDS))[0]:
                if not await self._has_room(engine):
                    self._count("made_way")
                    return
            self._count(asking.result())
        finally:
            # The engine stops where the connection does.
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            self._asked[engine] -= 1

    async def _ask(self, record: GenerationRecord, engine: str) -> str:
        """Ask the candidate, and put the event on disk; return what to count it as."""
        asked, pool = record.engine_request, self.context.engine_pool
        body = {name: value for name, value in asked.body.items() if name not in _TOLD_ONLY}
        body |= {"model": record.assignment.served.version, "request_id": record.generation_id}
        path = "/v1/chat/completions" if asked.chat else "/v1/completions"
        try:
            async with pool.session.post(
                engine + path,
                data=orjson.dumps({**body, "stream": False}),
                headers=pool.headers,
                allow_redirects=False,
            ) as response:
                if response.status == 404:
                    return "not_loaded"
                record.answer = EngineResponse(
                    response=response,
                    served=record.assignment.served,
                    fallback=False,
                    engine=engine,
                )
                told = read_engine_json(await response.read())
                _end(record, response.status, told if isinstance(told, dict) else {})
        except TimeoutError:
            _write(record, finish_reason="timeout", status=504)
        except (aiohttp.ClientError, ValueError):
            _write(record, finish_reason="error", status=502)
        return "answered"

    async def close(self) -> None:
        """Give up what runs."""
        tasks = self._tasks.copy()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


MIRROR: web.AppKey[ShadowMirror] = web.AppKey("mirror", ShadowMirror)


def _place(shadow: ServedVersion, generation_id: str) -> int:
    """Return where of 10,000 a request stands; by its own id, so that every request may be one."""
    place = bucket(f"shadow/{shadow.version}", generation_id)
    assert place < BUCKETS
    return place


def _mirrored(record: GenerationRecord, shadow: ServedVersion, generation: int) -> GenerationRecord:
    """Return the record of the same request to the candidate."""
    return GenerationRecord(
        context=record.context,
        identity=record.identity,
        engine_request=replace(record.engine_request, stream=False),
        assignment=Assignment(
            variant=Variant.SHADOW,
            served=shadow,
            fallbacks=(),
            salt=shadow.version,
            bucket=-1,
            generation=generation,
            reason="shadow",
        ),
        generation_id=shadow_id(record.generation_id),
        received=record.context.clock(),
        on_version_since=record.on_version_since,
        started=time.perf_counter(),
    )


def _end(record: GenerationRecord, status: int, told: dict[str, Any]) -> None:
    if status != 200:
        _write(record, finish_reason="error" if status >= 500 else "refused", status=status)
        return
    capture = record.capture
    capture.take(told)
    shown = bool(capture.text.strip()) or len(capture.calls) > 0
    _write(
        record,
        finish_reason=capture.finish_reason or "error",
        # No tokens at all is how an event says that an answer showed nothing.
        completion_token_ids=None if shown else (),
        usage=capture.usage,
        tool_call_count=len(capture.calls),
    )


def _write(record: GenerationRecord, **ended: Any) -> None:
    seconds = time.perf_counter() - record.started
    event = record.generation(capture_problem=NOT_KEPT, latency_seconds=seconds, **ended)
    record.write(Kind.GENERATION, event)
