"""Generation ids: `<session>.<24 hex digits>`, and 16 more that tie one to its tenant.

Feedback needs only the id: the session is in it, and where a key is configured so is the proof that
this tenant was served. Of a specialist's answer 8 digits between the two say which one's it is.
"""

import hmac
import itertools
import re
import secrets

_OURS = re.compile(r"(.+)\.([0-9a-f]{24}([0-9a-f]{8})?)([0-9a-f]{16})?")
_counter = itertools.count(secrets.randbits(16))


def new_generation_id(
    session: str, now: float, tenant: str = "", key: bytes = b"", tag: str = ""
) -> str:
    """Return an id of milliseconds, a counter, and chance, so ids grow; signed where there is a key.

    `tag` is the specialist's, `policy_tag`.
    """
    tail = f"{int(now * 1000):012x}{next(_counter) & 0xFFFF:04x}{secrets.token_hex(4)}{tag}"
    name = f"{session}.{tail}"
    return name + _signature(name, tenant, key) if key else name


def session_of(generation_id: str) -> str | None:
    """Return the session inside an id that a gateway gave out; None for anybody else's id."""
    match = _OURS.fullmatch(generation_id)
    return None if match is None else match[1]


def served_to(generation_id: str, tenant: str, key: bytes) -> bool | None:
    """Return whether the id was given out to this tenant; None where it is not signed."""
    match = _OURS.fullmatch(generation_id)
    if match is None or match[4] is None or not key:
        return None
    return hmac.compare_digest(match[4], _signature(f"{match[1]}.{match[2]}", tenant, key))


def tag_of(generation_id: str) -> str | None:
    """Return the specialist's tag inside a signed id, empty for the parent's; None for anybody else's id."""
    match = _OURS.fullmatch(generation_id)
    return None if match is None or match[4] is None else match[3] or ""


def _signature(name: str, tenant: str, key: bytes) -> str:
    return hmac.digest(key, f"generation\0{tenant}\0{name}".encode(), "sha256")[:8].hex()
