"""Identity: who asks, and in which session.

Headers are ours and strict. What a body says may be a product's own and mean something else: what is
not usable there is left out and counted, and the person is served.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...ops.flags.assignment import DEFAULT_TENANT, hash_user, tenant_key
from ...streams.events.generation import Purpose, SessionFound
from ...streams.redaction.privacy import PrivacySettings
from .consent import read_consent
from .named_fields import ID, LINE, PRINTABLE, NamedFields
from .session import find_session, written_name
from .specialists import Specialists


class TenantRefused(ValueError):
    """The caller names a tenant that its credential is not for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The caller of one request, as far as the log may know."""

    session: str
    """Key of the topics."""
    session_found: SessionFound
    """How the session was known."""
    user_hash: str
    """Keyed hash of the user, or of the session where no user is named."""
    anonymous: bool
    """True where no user is named."""
    segment: str
    """Kind of work; baselines are tracked by it."""
    purposes: tuple[Purpose, ...]
    """What the person agreed to."""
    tenant: str
    """The customer whose product sent the request."""
    policy: str
    """The policy that owns the answer; empty where nobody was asked."""
    parent: str | None
    """The generation that this one goes on from, where the product says so."""
    tool_call: str | None
    """The tool call that the session works for, where the product says so."""
    side_request: str
    """What the harness asks for on its own; empty for a turn of a conversation."""
    harness: str
    """Version of the product around the model."""
    references: dict[str, str]
    """What of the product's the request is about, by key."""
    left_out: tuple[str, ...]
    """Fields of the body that were not usable."""

    @property
    def consent(self) -> bool:
        """Whether the person agreed to have the answer learned from."""
        return "train" in self.purposes

    @property
    def keeps(self) -> bool:
        """Whether anything but counts may be kept of it."""
        return self.consent or "share" in self.purposes


def identify(
    headers: Mapping[str, str],
    body: Mapping[str, Any],
    key: bytes,
    harness: str,
    *,
    tenant: str | None = None,
    beginning: bytes = b"",
    privacy: PrivacySettings | None = None,
    references: Sequence[str] = (),
    specialists: Specialists | None = None,
) -> Identity:
    """Read who asks: `X-Rlwd-*` headers, else `metadata` in the body, else OpenAI's own fields.

    `tenant` is the credential's, `beginning` how the conversation begins, `references` the keys of
    `metadata` that name something of the product's, `specialists` say which policy owns the answer.
    Raises ValueError naming a header that is not usable, TenantRefused where it names another tenant.
    """
    fields = NamedFields(headers, body.get("metadata"))
    user = fields.user(body)
    served_tenant = _tenant(fields, headers, tenant)
    key = tenant_key(key, served_tenant)
    agreed = (privacy or PrivacySettings()).of(served_tenant)
    session, found = find_session(fields, body, key, user, beginning, agreed)
    segment = fields.plain("segment") or "default"
    policy = "" if specialists is None else specialists.owner(served_tenant, segment)
    own = agreed if specialists is None else specialists.agreed(policy, agreed)
    purposes = read_consent(fields, headers, own)
    named_harness = fields.read("harness", LINE, spaces=" characters")
    return Identity(
        session=session,
        session_found=found,
        # The NUL keeps sessions apart from users who are called like one.
        user_hash=hash_user(user if user is not None else f"\0{session}", key),
        anonymous=user is None,
        segment=segment,
        purposes=purposes,
        tenant=served_tenant,
        policy=policy,
        parent=fields.read("parent", ID),
        tool_call=fields.read("tool_call", ID),
        side_request=fields.plain("side_request") or "",
        harness=named_harness or harness,
        references={
            name: written_name(value, key, agreed)
            for name, value in fields.references(references).items()
        },
        left_out=tuple(fields.left_out),
    )


def _tenant(fields: NamedFields, headers: Mapping[str, str], credential: str | None) -> str:
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
    if not PRINTABLE.fullmatch(text):
        raise ValueError(f"{name}: must be 1 to 200 printable ASCII characters without spaces")
    return text
