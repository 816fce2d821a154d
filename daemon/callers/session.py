"""Session: which conversation a request belongs to, found where nobody names it."""

import hmac
import secrets
from collections.abc import Mapping
from typing import Any

from ...streams.events.generation import SessionFound
from ...streams.redaction.privacy import TenantPrivacy
from ...streams.redaction.redactor import redact
from .named_fields import NamedFields, encodable

SESSION_HEADERS = ("X-Session-Id", "Session-Id", "Session_id", "X-Claude-Code-Session-Id")
"""By which clients that are not ours name a conversation."""
SESSION_FIELDS = ("session_id", "prompt_cache_key")
"""Fields of the body by which they do."""


def find_session(
    fields: NamedFields,
    body: Mapping[str, Any],
    key: bytes,
    user: str | None,
    beginning: bytes,
    privacy: TenantPrivacy,
) -> tuple[str, SessionFound]:
    """Return the session of a request, and how it is known.

    It is named by our header or in `metadata`, else by a name that other clients send, else known by
    how the conversation begins. Two people may begin in the same words, so that whom nobody names
    gets a session of his own for each request. `key` is the tenant's.
    """
    named = fields.plain("session")
    if named is not None:
        return written_name(named, key, privacy), "named"
    for said in _said(fields, body):
        # Hashed, since it may be a person's name. It names no user: many people may share it.
        return client_session(said, key), "cache_key"
    if user is not None and beginning:
        said_so_far = b"\0".join((b"beginning", user.encode(), beginning))
        return f"b{_digest(key, said_so_far)}", "beginning"
    return f"s{secrets.token_hex(8)}", "chance"


def client_session(said: str, key: bytes) -> str:
    """Return the session that clients call so; `key` is the tenant's."""
    return f"c{_digest(key, said.encode())}"


def written_name(named: str, key: bytes, privacy: TenantPrivacy) -> str:
    """Return the name of a session, or the value of a reference, as it is written.

    One that holds what redaction replaces (a mail address for a name) is hashed with the tenant's `key`:
    so it joins as before, and nobody can read it or has to erase it.
    """
    exempt = frozenset(one.lower() for one in privacy.exempt)
    hit = privacy.redact and redact(named, exempt).kinds
    return client_session(named, key) if hit else named


def _said(fields: NamedFields, body: Mapping[str, Any]) -> list[str]:
    told = [fields.headers.get(name) for name in SESSION_HEADERS]
    for name in SESSION_FIELDS:
        value = body.get(name)
        if value and not (isinstance(value, str) and encodable(value)):
            fields.left_out.append(name)
        elif value:
            told.append(value)
    return [said for said in told if said and encodable(said)]


def _digest(key: bytes, said: bytes) -> str:
    return hmac.digest(key, said, "sha256")[:8].hex()
