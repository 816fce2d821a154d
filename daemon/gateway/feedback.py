"""Feedback: what people did, posted one by one or many at once; each is answered on its own."""

from datetime import datetime
from typing import Any, Literal

import msgspec
import orjson
from aiohttp import web

from ...streams.events.event import Feedback, FeedbackEvent
from ...streams.events.limits import check_name, check_time
from ...streams.events.signals import Identifier, Signal
from ..spool.spool import Kind
from .context import CONTEXT, JSON, GatewayContext, at, refusal
from .identity import plain, session_of

LIMIT = 1000
"""Most that one post may hold."""


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """One feedback as a client posts it; fields that are not here are ignored."""

    feedback_id: Identifier
    """The client's own id; posting it again changes nothing."""
    generation_id: Identifier
    """The `id` of the answer that it is about."""
    signal: Signal
    """What was done."""
    session_id: Identifier | None = None
    """Needed only for generations that no gateway gave out."""
    tenant: str | None = None
    """Else of the `X-Rlwd-Tenant` header."""
    actor: Literal["person", "agent", "system"] = "person"
    """Who did it."""
    replaces: Identifier | None = None
    """An earlier feedback_id."""
    time: datetime | None = None
    """When it was done, with its zone; else when it came."""


async def feedback(request: web.Request) -> web.Response:
    """Handle `/v1/feedback`: 202 means that the spool has it.

    One object is answered by its own status. A list is answered by 202 where all were taken, else
    by 207, with each one's status in `results`.
    """
    context = request.app[CONTEXT]
    try:
        posted = orjson.loads(await request.read())
    except orjson.JSONDecodeError as problem:
        return refusal(400, str(problem))
    tenant, now = request.headers.get("X-Rlwd-Tenant", "default"), context.clock()
    if isinstance(posted, dict):
        result = take(context, posted, tenant, now)
        return web.Response(status=result["status"], body=orjson.dumps(result), content_type=JSON)
    if not isinstance(posted, list) or len(posted) > LIMIT:
        return refusal(400, f"the body must be one feedback or a list of at most {LIMIT}")
    results = [take(context, one, tenant, now) for one in posted]
    status = 202 if all(r["status"] == 202 for r in results) else 207
    return web.Response(status=status, body=orjson.dumps({"results": results}), content_type=JSON)


def take(context: GatewayContext, posted: object, tenant: str, now: float) -> dict[str, Any]:
    """Check one feedback and spool it; return its id and status, and its error if there is one."""
    name = posted.get("feedback_id") if isinstance(posted, dict) else None
    result: dict[str, Any] = {"feedback_id": name if isinstance(name, str) else None}
    try:
        event = to_event(posted, tenant, now)
        context.record(Kind.FEEDBACK, event.data.session_id, event.id, event)
        result["status"] = 202
    except ValueError as problem:
        result |= {"status": 400, "error": {"message": str(problem), "type": "invalid_feedback"}}
    except OSError as problem:
        result |= {"status": 503, "error": {"message": str(problem), "type": "spool_full"}}
    context.metrics.feedback.labels(str(result["status"])).inc()
    return result


def to_event(posted: object, tenant: str, now: float) -> FeedbackEvent:
    """Return the event of one posted feedback. Raises ValueError naming the field."""
    one = msgspec.convert(posted, Posted)
    if one.time is not None:
        check_time("$.time", one.time)
    check_name("$.feedback_id", one.feedback_id)
    check_name("$.generation_id", one.generation_id)
    tenant = plain("$.tenant", one.tenant or tenant)
    data = Feedback(
        feedback_id=one.feedback_id,
        generation_id=one.generation_id,
        session_id=_session(one),
        signal=one.signal,
        tenant=tenant,
        actor=one.actor,
        replaces=one.replaces,
    )
    return FeedbackEvent(
        id=one.feedback_id,
        # The tenant's and not this gateway's: a client may post it again at another one.
        source=f"/feedback/{tenant}",
        specversion="1.0",
        time=one.time or at(now),
        receivedtime=at(now),
        data=data,
    )


def _session(one: Posted) -> str:
    session = session_of(one.generation_id)
    if session is None and one.session_id is None:
        raise ValueError("$.session_id: needed, as the generation_id is not a gateway's")
    if session is not None and one.session_id not in (None, session):
        raise ValueError(f"$.session_id: {one.session_id!r} is not the generation's, {session!r}")
    return session or one.session_id or ""
