"""Identity: who asks, in which session, and the ids that the gateway gives out."""

import itertools
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...ops.flags.assignment import hash_user

_PRINTABLE = re.compile(r"[\x21-\x7e]{1,200}")
_OURS = re.compile(r"(.+)\.[0-9a-f]{24}")
_CONSENT = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_counter = itertools.count(secrets.randbits(16))


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The caller of one request, as far as the log may know."""

    session: str
    """Key of the topics."""
    user_hash: str
    """Keyed hash of the user, or of the session where no user is named."""
    anonymous: bool
    """True where no user is named."""
    segment: str
    """Kind of work; baselines are tracked by it."""
    consent: bool
    """False: counted, never trained on."""
    tenant: str
    """The customer whose product sent the request."""
    parent: str | None
    """The generation that this one answers to."""
    harness: str
    """Version of the product around the model."""


def identify(
    headers: Mapping[str, str], body: Mapping[str, Any], key: bytes, harness: str
) -> Identity:
    """Read who asks: `X-Rlwd-*` headers, else `metadata` in the body, else OpenAI's `user`.

    Raises ValueError naming the field where one is not a short printable text.
    """
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise ValueError("metadata: must be an object")

    def named(name: str) -> str | None:
        value = headers.get(f"X-Rlwd-{name.capitalize()}")
        if value is None:
            value = metadata.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str | bool | int):
            raise ValueError(f"metadata.{name}: must be a text")
        return str(value)

    user = named("user") or body.get("user") or None
    if user is not None and not isinstance(user, str):
        raise ValueError("user: must be a text")
    session = plain("session", named("session") or f"s{secrets.token_hex(8)}")
    consent = (named("consent") or "true").lower()
    if consent not in _CONSENT:
        raise ValueError(f"consent: {consent!r} is neither true nor false")
    parent = named("parent")
    return Identity(
        session=session,
        # The NUL keeps sessions apart from users who are called like one.
        user_hash=hash_user(user if user is not None else f"\0{session}", key),
        anonymous=user is None,
        segment=plain("segment", named("segment") or "default"),
        consent=_CONSENT[consent],
        tenant=plain("tenant", named("tenant") or "default"),
        parent=None if parent is None else parent[:512],
        harness=named("harness") or harness,
    )


def plain(name: str, text: str) -> str:
    """Return the text if it is 1 to 200 printable ASCII characters; else raise ValueError."""
    if not _PRINTABLE.fullmatch(text):
        raise ValueError(f"{name}: must be 1 to 200 printable ASCII characters without spaces")
    return text


def new_generation_id(session: str, now: float) -> str:
    """Return `<session>.<24 hex digits>`: milliseconds, a counter, and chance, so ids grow.

    Feedback needs only this: the session is in it.
    """
    tail = f"{int(now * 1000):012x}{next(_counter) & 0xFFFF:04x}{secrets.token_hex(4)}"
    return f"{session}.{tail}"


def session_of(generation_id: str) -> str | None:
    """Return the session inside an id that a gateway gave out; None for anybody else's id."""
    match = _OURS.fullmatch(generation_id)
    return None if match is None else match[1]
