"""Posted: one feedback as a client posts it, and the event that it becomes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from ...ops.flags.assignment import DEFAULT_TENANT, hash_user, tenant_key
from ...streams.events.event import Feedback, FeedbackEvent
from ...streams.events.generation import NamedReference
from ...streams.events.limits import check_name, check_time
from ...streams.events.signals import DAEMONS_OWN, Identifier, PostedSignal
from ...streams.redaction.privacy import PrivacySettings
from ...streams.redaction.redactor import redact
from .generation_ids import session_of
from .identity import plain
from .named_fields import encodable
from .session import client_session, written_name

_DAEMONS_OWN = frozenset(str(kind.__struct_config__.tag) for kind in DAEMONS_OWN)


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """One feedback as a client posts it; fields that are not here are ignored."""

    feedback_id: Identifier
    """The client's own id; posting it again changes nothing."""
    generation_id: Identifier | None = None
    """The `id` of the answer that it is about; else one of the three below."""
    session: Identifier | None = None
    """In place of an answer: the session, as you named it or as ids of its answers begin."""
    client_session: Identifier | None = None
    """Likewise, as your client sends it in `prompt_cache_key`, `session_id` or a session header."""
    reference: NamedReference | None = None
    """Likewise, a thing of yours that requests named in `metadata`, by one of `gateway.references`."""
    user: str | None = None
    """Beside one of these three: only answers to this person, named as in requests."""
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


class NotServed(ValueError):
    """The generation was served to another tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductNames:
    """How the gateway reads what products name."""

    user_key: bytes
    """Key of users' hashes."""
    references: Sequence[str]
    """Keys of the references that requests may name."""
    privacy: PrivacySettings
    """What of a name must not be written."""


def to_event(
    posted: object, tenant: str, now: float, names: ProductNames, *, fixed: bool = False
) -> FeedbackEvent:
    """Return the event of one posted feedback; with `fixed` no other tenant may be named.

    Raises ValueError naming the field, NotServed for another tenant.
    """
    if (kind := _kind(posted)) in _DAEMONS_OWN:
        raise ValueError(f"$.signal.kind: {kind!r} is written by rlwd's daemon alone")
    one = msgspec.convert(posted, Posted)
    if one.time is not None:
        check_time("$.time", one.time)
    check_name("$.feedback_id", one.feedback_id)
    if fixed and one.tenant not in (None, "", tenant):
        raise NotServed("$.tenant: is not the tenant of this token")
    # Who may name a tenant and names none means the answer's own.
    tenant = plain("$.tenant", one.tenant) if one.tenant else tenant
    came = datetime.fromtimestamp(now, UTC)
    about = _about(one, tenant, names)
    data = Feedback(
        feedback_id=one.feedback_id,
        signal=one.signal,
        actor=one.actor,
        replaces=one.replaces,
        **about,
    )
    return FeedbackEvent(
        id=one.feedback_id,
        # The tenant's and not this gateway's: a client may post it again at another one.
        source=f"/feedback/{data.tenant or 'default'}",
        specversion="1.0",
        time=one.time or came,
        receivedtime=came,
        data=data,
    )


def _kind(posted: object) -> object:
    signal = posted.get("signal") if isinstance(posted, dict) else None
    kind = signal.get("kind") if isinstance(signal, dict) else None
    return kind if isinstance(kind, str) else None


def _about(one: Posted, tenant: str, names: ProductNames) -> dict[str, Any]:
    """Return what a feedback is about, as its record says it.

    Raises ValueError where it names nothing, or two things.
    """
    named = [
        name
        for name in ("generation_id", "session", "client_session", "reference")
        if getattr(one, name) is not None
    ]
    if not named:
        raise ValueError("$.generation_id: needed, or a session or reference in its place")
    if len(named) > 1:
        raise ValueError(f"$.{named[1]}: given beside $.{named[0]}")
    if one.generation_id is not None:
        check_name("$.generation_id", one.generation_id)
        return {
            "generation_id": one.generation_id,
            "session_id": _session(one, one.generation_id),
            "tenant": tenant,
        }
    # An answer has its own tenant; a name has none, and is of the tenant that requests without one have.
    tenant = tenant or DEFAULT_TENANT
    key = tenant_key(names.user_key, tenant)
    # As in requests: an empty name is none.
    user = hash_user(encoded("$.user", one.user), key) if one.user else ""
    about: dict[str, Any] = {"tenant": tenant, "user_hash": user}
    if one.reference is not None:
        value = written_name(one.reference.value, key, names.privacy.of(tenant))
        reference = msgspec.structs.replace(one.reference, value=value)
        return about | {"reference": reference, "session_id": _checked(reference, names)}
    if one.client_session is not None:
        said = encoded("$.client_session", one.client_session)
        return about | {"session_id": client_session(said, key)}
    check_name("$.session", one.session or "")
    session = written_name(one.session or "", key, names.privacy.of(tenant))
    return about | {"session_id": session}


def _checked(reference: NamedReference, names: ProductNames) -> str:
    """Return the topic's key for a reference. Raises ValueError for one that no request may name."""
    if reference.key not in names.references:
        known = ", ".join(names.references) or "none"
        raise ValueError(
            f"$.reference.key: {reference.key!r} is none of gateway.references: {known}"
        )
    check_name("$.reference.value", reference.value)
    return f"{reference.key}:{hashlib.sha256(reference.value.encode()).hexdigest()[:32]}"


def encoded(path: str, said: str) -> str:
    """Return a text that UTF-8 can hold. Raises ValueError naming the field."""
    if not encodable(said):
        raise ValueError(f"{path}: holds half a surrogate pair")
    return said


def _session(one: Posted, generation_id: str) -> str:
    session = session_of(generation_id)
    if session is None and one.session_id is None:
        raise ValueError("$.session_id: needed, as the generation_id is not a gateway's")
    hashed = one.session_id is not None and bool(redact(one.session_id).kinds)
    if session is not None and one.session_id not in (None, session) and not hashed:
        raise ValueError(f"$.session_id: {one.session_id!r} is not the generation's, {session!r}")
    return session or one.session_id or ""
