"""ClientSettings: one `[clients.NAME]` of the config."""

import re
from typing import Any

import msgspec

_TENANT = re.compile(r"[\x21-\x7e]{1,200}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_ORIGIN = re.compile(r"https?://[^/\s]+")


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product, or a part of one, that calls the gateway. Raises ValueError naming the field."""

    tokens: tuple[str, ...]
    """Hashes of its bearer tokens, newest first; `rlwd client` makes and rotates them."""
    tenant: str = "default"
    """Whose traffic it brings; nothing that it says changes this."""
    allowed_origins: tuple[str, ...] = ()
    """Pages that may call with its token from a browser, `https://app.example.com`."""
    requests_per_minute: int = 0
    """Most calls of any kind in a minute, by each gateway, all of its workers together; 0 is no limit."""
    requests_per_day: int = 0
    """Most requests for a generation in a day, UTC, by each gateway since its start, all of its workers
    together; 0 is no limit."""
    feedback_per_day: int = 0
    """Most feedback in a day, UTC, by each gateway since its start, all of its workers together; 0 is no
    limit."""

    def __post_init__(self) -> None:
        if not self.tokens or not all(map(_HASH.fullmatch, self.tokens)):
            raise ValueError("tokens: at least one, each sha256: and 64 hex digits")
        if not _TENANT.fullmatch(self.tenant):
            raise ValueError("tenant: must be 1 to 200 printable ASCII characters without spaces")
        check_origins("allowed_origins", self.allowed_origins)
        for name in ("requests_per_minute", "requests_per_day", "feedback_per_day"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must be at least 0")


def check_origins(path: str, origins: tuple[str, ...]) -> None:
    """Refuse what is no origin of a page. Raises ValueError."""
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{path}: {origin!r} is not scheme://host[:port]")


class _Clients(msgspec.Struct, frozen=True, kw_only=True):
    clients: dict[str, ClientSettings] = {}


def with_clients(written: dict[str, Any]) -> dict[str, Any]:
    """Give the gateway its clients: whether it may listen beyond loopback depends on them."""
    clients = written.get("clients")
    gateway = written.get("gateway", {})
    if not clients or not isinstance(gateway, dict) or "clients" in gateway:
        return written
    # First alone, so that a fault in them is named where it stands.
    msgspec.convert({"clients": clients}, _Clients)
    return {**written, "gateway": {**gateway, "clients": clients}}
