"""Consent: for which purposes a person agreed to have an answer kept, as a request says it."""

from collections.abc import Mapping

from ...streams.events.generation import PURPOSES, Purpose
from ...streams.redaction.privacy import TenantPrivacy
from .named_fields import NamedFields

_AGREED = {"true", "1", "yes"}
_REFUSED = {"false", "0", "no"}


def read_consent(
    fields: NamedFields, headers: Mapping[str, str], tenant: TenantPrivacy
) -> tuple[Purpose, ...]:
    """Return the purposes; `count` is always one of them.

    What cannot be read is no agreement. Raises ValueError where our header cannot be.
    """
    said = headers.get("X-Rlwd-Consent")
    if said:
        found = parse_consent(said, tenant)
        if found is None:
            raise ValueError(
                "X-Rlwd-Consent: must be true or false, or purposes, train and share, with commas"
            )
        return found
    value = fields.metadata.get("consent")
    if value is None or value == "":
        return with_count(tenant.purposes if tenant.consent == "opt_out" else ())
    text = str(value) if isinstance(value, str | bool | int) else ""
    found = parse_consent(text, tenant)
    if found is None:
        fields.left_out.append("consent")
        return ("count",)
    return found


def parse_consent(said: str, tenant: TenantPrivacy) -> tuple[Purpose, ...] | None:
    """Return the purposes that a text names; None where it cannot be read.

    >>> parse_consent("share, train", TenantPrivacy()), parse_consent("no", TenantPrivacy())
    (('count', 'train', 'share'), ('count',))
    """
    words = {word.strip() for word in said.lower().split(",")}
    if words <= _AGREED:
        return with_count(tenant.purposes)
    if words <= _REFUSED:
        return ("count",)
    if not words <= set(PURPOSES):
        return None
    return with_count(tuple(one for one in PURPOSES if one in words))


def with_count(purposes: tuple[Purpose, ...]) -> tuple[Purpose, ...]:
    """Return the purposes in their order, with the one that nobody is asked for."""
    return tuple(one for one in PURPOSES if one == "count" or one in purposes)
