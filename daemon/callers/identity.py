"""Identity: who asks, and in which session.

Headers are ours and strict. What a body says may be a product's own and mean something else: what is
not usable there is left out and counted, and the person is served.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...ops.flags.assignment import DEFAULT_TENANT, hash_user, tenant_key

_PRINTABLE = re.compile(r"[\x21-\x7e]{1,200}")
_ID = re.compile(r"[\x21-\x7e]{1,512}")
_LINE = re.compile(r"[\x20-\x7e]{1,200}")
_CONSENT = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
USER_CHARACTERS = 1000


class TenantRefused(ValueError):
    """The caller names a tenant that its credential is not for."""


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
    left_out: tuple[str, ...]
    """Fields of the body that were not usable."""


class _Fields:
    """Reads one named field after another: header first, then the body's metadata."""

    def __init__(self, headers: Mapping[str, str], metadata: Any) -> None:
        self.headers = headers
        self.metadata = metadata if isinstance(metadata, Mapping) else {}
        self.left_out = [] if metadata is None or self.metadata is metadata else ["metadata"]

    def read(self, name: str, pattern: re.Pattern[str], *, spaces: str = "") -> str | None:
        """Return the field, or None. Raises ValueError where a header is not usable."""
        value = self.headers.get(f"X-Rlwd-{name.capitalize()}")
        if value:
            if not pattern.fullmatch(value):
                raise ValueError(
                    f"X-Rlwd-{name.capitalize()}: must be 1 to 200 printable ASCII{spaces}"
                )
            return value
        value = self.metadata.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str | bool | int) and pattern.fullmatch(str(value)):
            return str(value)
        self.left_out.append(name)
        return None

    def plain(self, name: str) -> str | None:
        """Return a field that becomes a key or a column."""
        return self.read(name, _PRINTABLE, spaces=" characters without spaces")

    def user(self, body: Mapping[str, Any]) -> str | None:
        """Return the user as the product names them; `safety_identifier` follows on `user`."""
        named: list[tuple[str, Any]] = [
            ("user", self.headers.get("X-Rlwd-User")),
            ("user", self.metadata.get("user")),
            ("safety_identifier", body.get("safety_identifier")),
            ("user", body.get("user")),
        ]
        for place, (name, value) in enumerate(named):
            if value is None or value == "":
                continue
            text = str(value) if isinstance(value, str | int) else ""
            if 0 < len(text) <= USER_CHARACTERS and _encodable(text):
                return text
            if place == 0:
                raise ValueError(
                    f"X-Rlwd-User: must be UTF-8, at most {USER_CHARACTERS} characters"
                )
            self.left_out.append(name)
        return None


def identify(
    headers: Mapping[str, str],
    body: Mapping[str, Any],
    key: bytes,
    harness: str,
    *,
    tenant: str | None = None,
) -> Identity:
    """Read who asks: `X-Rlwd-*` headers, else `metadata` in the body, else OpenAI's own fields.

    `tenant` is the credential's. Raises ValueError naming a header that is not usable, TenantRefused
    where it names another tenant.
    """
    fields = _Fields(headers, body.get("metadata"))
    user = fields.user(body)
    served_tenant = _tenant(fields, headers, tenant)
    key = tenant_key(key, served_tenant)
    session = fields.plain("session") or _cache_session(fields, body, key)
    segment = fields.plain("segment") or "default"
    consent = _consent(fields, headers)
    parent = fields.read("parent", _ID)
    named_harness = fields.read("harness", _LINE, spaces=" characters")
    return Identity(
        session=session,
        # The NUL keeps sessions apart from users who are called like one.
        user_hash=hash_user(user if user is not None else f"\0{session}", key),
        anonymous=user is None,
        segment=segment,
        consent=consent,
        tenant=served_tenant,
        parent=parent,
        harness=named_harness or harness,
        left_out=tuple(fields.left_out),
    )


def _cache_session(fields: _Fields, body: Mapping[str, Any], key: bytes) -> str:
    """Return a session for who names none: by OpenAI's `prompt_cache_key`, else by chance.

    It is hashed, since it may be a person's name. It names no user: many people may share it.
    """
    cache_key = body.get("prompt_cache_key")
    if isinstance(cache_key, str) and cache_key and _encodable(cache_key):
        return f"c{hmac.new(key, cache_key.encode(), hashlib.sha256).hexdigest()[:16]}"
    if cache_key:
        fields.left_out.append("prompt_cache_key")
    return f"s{secrets.token_hex(8)}"


def _consent(fields: _Fields, headers: Mapping[str, str]) -> bool:
    """Return whether the person agreed. What cannot be read is no agreement."""
    said = headers.get("X-Rlwd-Consent")
    if said:
        if said.lower() not in _CONSENT:
            raise ValueError("X-Rlwd-Consent: must be true or false")
        return _CONSENT[said.lower()]
    value = fields.metadata.get("consent")
    if value is None or value == "":
        return True
    if isinstance(value, str | bool | int) and str(value).lower() in _CONSENT:
        return _CONSENT[str(value).lower()]
    fields.left_out.append("consent")
    return False


def _tenant(fields: _Fields, headers: Mapping[str, str], credential: str | None) -> str:
    if credential is None:
        return fields.plain("tenant") or DEFAULT_TENANT
    check_tenant(headers, credential)
    if fields.metadata.get("tenant") not in (None, "", credential):
        fields.left_out.append("tenant")
    return credential


def check_tenant(headers: Mapping[str, str], credential: str | None) -> None:
    """Refuse a header that names another tenant than the credential's."""
    said = headers.get("X-Rlwd-Tenant")
    if credential is not None and said and said != credential:
        raise TenantRefused("X-Rlwd-Tenant: is not the tenant of this token")


def plain(name: str, text: str) -> str:
    """Return the text if it is 1 to 200 printable ASCII characters; else raise ValueError."""
    if not _PRINTABLE.fullmatch(text):
        raise ValueError(f"{name}: must be 1 to 200 printable ASCII characters without spaces")
    return text


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
