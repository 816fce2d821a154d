"""KeptVersion: a conversation under way stays on its version, though the flag says another by now.

Every answer carries a proof of its version in `X-Rlwd-Version`, and a session that returns it keeps
that version while the flags name it as kept, within a time from its first turn on it. The proof is a
keyed hash of tenant, session, user, version and that time, and names no version: nobody can choose
one, carry it into another session, or bring back one that was rolled back. No gateway remembers
anything.
"""

import hmac
import re
from typing import NamedTuple

import msgspec

from ...ops.flags.assignment import Assignment, ServedVersion
from .identity import Identity

VERSION = "X-Rlwd-Version"
"""Header of an answer, and of the request that goes on from it."""
_PROOF = re.compile(r"(?:\S+; )?keep=([0-9a-f]{1,12})-([0-9a-f]{32})")


class KeptVersion(NamedTuple):
    """What a request's proof was worth."""

    assignment: Assignment
    """What the request is served by."""
    since: int
    """Epoch seconds of the session's first turn on that version."""
    outcome: str
    """`none` without a proof; `same` where the flag says that version anyway; `kept`; `expired`;
    `gone` where the proof is wrong, or of a version that is kept no more."""


def keep_version(
    returned: str,
    assignment: Assignment,
    kept: tuple[ServedVersion, ...],
    identity: Identity,
    key: bytes,
    *,
    now: float,
    keep_seconds: float,
) -> KeptVersion:
    """Return what serves a request that returned this header, and since when the session has it.

    `kept` are the versions that the flags let sessions stay on.
    """
    found = _PROOF.fullmatch(returned)
    if found is None:
        return KeptVersion(assignment, int(now), "gone" if returned else "none")
    since, proof = int(found[1], 16), found[2]
    for served in (assignment.served, *kept):
        if hmac.compare_digest(proof, _proof(identity, served.version, since, key)):
            break
    else:
        return KeptVersion(assignment, int(now), "gone")
    if served == assignment.served:
        return KeptVersion(assignment, since, "same")
    if now - since > keep_seconds:
        return KeptVersion(assignment, int(now), "expired")
    others = (assignment.served, *assignment.fallbacks)
    stays = msgspec.structs.replace(
        assignment,
        served=served,
        fallbacks=tuple(one for one in others if one != served),
        reason="kept",
        kept=True,
    )
    return KeptVersion(stays, since, "kept")


def version_header(
    identity: Identity, version: str, since: int, key: bytes, *, shown: str = ""
) -> str:
    """Return what the client is to return with its next turn; `shown` is the version it may know."""
    proof = f"keep={since:x}-{_proof(identity, version, since, key)}"
    return f"{shown}; {proof}" if shown else proof


def _proof(identity: Identity, version: str, since: int, key: bytes) -> str:
    said = "\0".join(
        ("keep", identity.tenant, identity.session, identity.user_hash, version, str(since))
    )
    return hmac.digest(key, said.encode(), "sha256")[:16].hex()
