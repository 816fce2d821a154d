"""Feedback: what people did, posted one by one or many at once; each is answered on its own."""

from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
import structlog
from aiohttp import web

from ...ops.flags.assignment import DEFAULT_TENANT
from ...streams.events.event import Feedback, encode_event
from ...streams.redaction.privacy import PrivacySettings
from ...streams.redaction.redacted_event import redact_feedback
from ..callers.directory import Caller
from ..callers.generation_ids import served_to, tag_of
from ..callers.identity import TenantRefused, check_tenant, plain
from ..callers.posted import NotServed, ProductNames, to_event
from ..http.answers import JSON, printable, refusal
from ..http.bodies import BodyRefused, parse_json, read_body
from ..spool.spool import Kind
from .context import CALLER, CONTEXT, GatewayContext

log = structlog.get_logger()

LIMIT = 1000
"""Most that one post may hold."""


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
    results = [taker.take(one, place) for place, one in enumerate(posted)]
    status = 202 if all(r["status"] == 202 for r in results) else 207
    return web.Response(status=status, body=orjson.dumps({"results": results}), content_type=JSON)


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

    def take(self, posted: object, place: int = 0) -> dict[str, Any]:
        """Check one feedback and spool it; return its id and status, and its error if any.

        Each one of a list came a microsecond after the one before it: of two acts without times of their
        own, or of the same time, the later one in the list is the later one.
        """
        name = posted.get("feedback_id") if isinstance(posted, dict) else None
        result: dict[str, Any] = {"feedback_id": printable(name) if isinstance(name, str) else None}
        try:
            self._spool(posted, place)
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

    def _spool(self, posted: object, place: int) -> None:
        event = to_event(
            posted,
            self.tenant,
            round(self.now, 6) + place * 1e-6,
            ProductNames(
                user_key=self.context.settings.user_key.encode(),
                references=self.context.settings.references,
                privacy=self.context.settings.privacy or PrivacySettings(),
            ),
            fixed=self.caller.tenant is not None,
        )
        key, settings = self.context.settings.id_key, self.context.settings
        served = served_to(event.data.generation_id, event.data.tenant, key)
        if self.caller.tenant is not None and served is False:
            raise NotServed("$.generation_id: was not served to this tenant")
        policies = self._policies(event.data)
        try:
            size = len(encode_event(event))
        except UnicodeEncodeError:
            raise ValueError(f"{half_pair(posted)}: holds half a surrogate pair") from None
        if size > settings.max_feedback_bytes:
            raise TooLarge(f"$.signal: {size} bytes, more than {settings.max_feedback_bytes}")
        if settings.redacts(event.data.tenant):
            data = redact_feedback(event.data, settings.exempts(event.data.tenant))
            event = msgspec.structs.replace(event, data=data)
        for policy in policies:
            self.context.record(Kind.FEEDBACK, event.data.session_id, event.id, event, policy)

    def _policies(self, said: Feedback) -> tuple[str, ...]:
        """Return the policies whose answers this may be about; of an answer with an id of ours, its own.

        Raises ValueError for an answer of a policy that is not served here.
        """
        owners = self.context.policies.owners
        tag = tag_of(said.generation_id)
        if tag is not None:
            return (owners.tagged(tag),)
        return owners.may_own(said.tenant or DEFAULT_TENANT)


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
