"""Feedback: what people did, posted one by one or many at once; each is answered on its own."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
import orjson
import structlog
from aiohttp import web

from ...streams.events.event import Feedback, FeedbackEvent, encode_event
from ...streams.events.limits import check_name, check_time
from ...streams.events.signals import DAEMONS_OWN, Identifier, PostedSignal
from ...streams.redaction.redacted_event import redact_feedback
from ..callers.directory import Caller
from ..callers.generation_ids import served_to, session_of
from ..callers.identity import TenantRefused, check_tenant, plain
from ..http.answers import JSON, printable, refusal
from ..http.bodies import BodyRefused, parse_json, read_body
from ..spool.spool import Kind
from .context import CALLER, CONTEXT, GatewayContext, at

log = structlog.get_logger()

_DAEMONS_OWN = frozenset(str(kind.__struct_config__.tag) for kind in DAEMONS_OWN)
LIMIT = 1000
"""Most that one post may hold."""


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """One feedback as a client posts it; fields that are not here are ignored."""

    feedback_id: Identifier
    """The client's own id; posting it again changes nothing."""
    generation_id: Identifier
    """The `id` of the answer that it is about."""
    signal: PostedSignal
    """What was done."""
    session_id: Identifier | None = None
    """Needed only for generations that no gateway gave out."""
    tenant: str | None = None
    """Else of the `X-Rlwd-Tenant` header, else the answer's own."""
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
    context, caller = request.app[CONTEXT], request[CALLER]
    try:
        raw = await read_body(request, context.settings.body_seconds)
        posted = parse_json(raw, half_pairs=True)
        check_tenant(request.headers, caller.tenant)
        named = request.headers.get("X-Rlwd-Tenant")
        tenant = caller.tenant or (plain("X-Rlwd-Tenant", named) if named else "")
    except BodyRefused as problem:
        return refusal(problem.status, str(problem))
    except TenantRefused as problem:
        return refusal(403, str(problem), "forbidden")
    except ValueError as problem:
        return refusal(400, str(problem))
    many = isinstance(posted, list)
    if (not many and not isinstance(posted, dict)) or len(posted) > LIMIT:
        return refusal(400, f"the body must be one feedback or a list of at most {LIMIT}")
    caller.spend("feedback", context.clock(), len(posted) if many else 1)
    taker = Taker(context=context, caller=caller, tenant=tenant, now=context.clock())
    if not many:
        result = taker.take(posted)
        return web.Response(status=result["status"], body=orjson.dumps(result), content_type=JSON)
    results = [taker.take(one) for one in posted]
    status = 202 if all(r["status"] == 202 for r in results) else 207
    return web.Response(status=status, body=orjson.dumps({"results": results}), content_type=JSON)


class NotServed(ValueError):
    """The generation was served to another tenant."""


class TooLarge(ValueError):
    """The feedback would not fit into one record of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """Checks and spools the feedback of one post."""

    context: GatewayContext
    """What the handlers share."""
    caller: Caller
    """Who posted it."""
    tenant: str
    """The caller's, or the one that it names; empty for the answer's own."""
    now: float
    """When it came, epoch seconds."""

    def take(self, posted: object) -> dict[str, Any]:
        """Check one feedback and spool it; return its id and status, and its error if any."""
        name = posted.get("feedback_id") if isinstance(posted, dict) else None
        result: dict[str, Any] = {"feedback_id": printable(name) if isinstance(name, str) else None}
        try:
            self._spool(posted)
            result["status"] = 202
        except NotServed as problem:
            result |= _refused(403, str(problem), "forbidden")
        except TooLarge as problem:
            result |= _refused(413, str(problem), "too_large")
        except ValueError as problem:
            result |= _refused(400, str(problem), "invalid_feedback")
        except OSError as problem:
            log.error("feedback_refused", problem=str(problem))
            result |= _refused(503, "the disk takes no more; send it again", "spool_full")
        self.context.metrics.feedback.labels(str(result["status"])).inc()
        return result

    def _spool(self, posted: object) -> None:
        event = to_event(posted, self.tenant, self.now, fixed=self.caller.tenant is not None)
        key, settings = self.context.settings.id_key, self.context.settings
        served = served_to(event.data.generation_id, event.data.tenant, key)
        if self.caller.tenant is not None and served is False:
            raise NotServed("$.generation_id: was not served to this tenant")
        try:
            size = len(encode_event(event))
        except UnicodeEncodeError:
            raise ValueError(f"{half_pair(posted)}: holds half a surrogate pair") from None
        if size > settings.max_feedback_bytes:
            raise TooLarge(f"$.signal: {size} bytes, more than {settings.max_feedback_bytes}")
        if settings.redacts(event.data.tenant):
            data = redact_feedback(event.data, settings.exempts(event.data.tenant))
            event = msgspec.structs.replace(event, data=data)
        self.context.record(Kind.FEEDBACK, event.data.session_id, event.id, event)


def _refused(status: int, message: str, kind: str) -> dict[str, Any]:
    return {"status": status, "error": {"message": printable(message), "type": kind}}


def half_pair(value: object, path: str = "$") -> str:
    """Return the path of the first text that UTF-8 cannot hold."""
    if isinstance(value, str):
        return "" if printable(value) == value else path
    found = ""
    if isinstance(value, dict):
        found = next(filter(None, (half_pair(v, f"{path}.{k}") for k, v in value.items())), "")
    return found or path


def to_event(posted: object, tenant: str, now: float, *, fixed: bool = False) -> FeedbackEvent:
    """Return the event of one posted feedback; with `fixed` no other tenant may be named.

    Raises ValueError naming the field, NotServed for another tenant.
    """
    if (kind := _kind(posted)) in _DAEMONS_OWN:
        raise ValueError(f"$.signal.kind: {kind!r} is written by rlwd's daemon alone")
    one = msgspec.convert(posted, Posted)
    if one.time is not None:
        check_time("$.time", one.time)
    check_name("$.feedback_id", one.feedback_id)
    check_name("$.generation_id", one.generation_id)
    if fixed and one.tenant not in (None, "", tenant):
        raise NotServed("$.tenant: is not the tenant of this token")
    # Who may name a tenant and names none means the answer's own.
    tenant = plain("$.tenant", one.tenant) if one.tenant else tenant
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
        source=f"/feedback/{tenant or 'default'}",
        specversion="1.0",
        time=one.time or at(now),
        receivedtime=at(now),
        data=data,
    )


def _kind(posted: object) -> object:
    signal = posted.get("signal") if isinstance(posted, dict) else None
    kind = signal.get("kind") if isinstance(signal, dict) else None
    return kind if isinstance(kind, str) else None


def _session(one: Posted) -> str:
    session = session_of(one.generation_id)
    if session is None and one.session_id is None:
        raise ValueError("$.session_id: needed, as the generation_id is not a gateway's")
    if session is not None and one.session_id not in (None, session):
        raise ValueError(f"$.session_id: {one.session_id!r} is not the generation's, {session!r}")
    return session or one.session_id or ""
