"""Assignment: which weights a request is served by, and the hash that decides it.

Who gets what is our hash and not a flag provider's: flagd's own `fractional` changed twice in 2026
and differs between languages, so an upgrade would reshuffle people in mid-experiment. The flag only
compares numbers; `tests/ops/flags/test_assignment.py` pins this hash by golden vectors.
"""

import hashlib
import hmac
from enum import StrEnum
from typing import Annotated

import msgspec

DEFAULT_TENANT = "default"
"""The tenant of who names none."""
BUCKETS = 10_000
"""A bucket is one hundredth of a per cent of the users."""

Bucket = Annotated[int, msgspec.Meta(ge=0, le=BUCKETS)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Variant(StrEnum):
    """What the flag returns for a request."""

    CHAMPION = "champion"
    """Everybody who is in no experiment."""
    CANDIDATE = "candidate"
    """The version on trial."""
    CONTROL = "control"
    """The champion's weights, or the previous champion's while a promoted version bakes, for as
    many users as the candidate has, over the same time."""
    SHADOW = "shadow"
    """Nobody's: a request of the champion's that the candidate is asked too, and whose answer nobody is
    shown. No flag returns it."""
    EXPERIMENT = "experiment"
    """Users on whom the product around the model is tried: they are in no rollout, and what answers
    them stays the same."""
    ANCHOR = "anchor"
    """The long-term holdout: fixed users on frozen weights, so that slow drift of everything else is
    seen. They are in no experiment."""


def hash_user(user: str, key: bytes) -> str:
    """Return the name under which a user leaves the gateway.

    HMAC-SHA256 of the UTF-8 bytes under `key`, cut to 128 bits: 32 hex digits. Whoever has no key
    can neither turn it back nor try out names. `key` is the tenant's (`tenant_key`): one name in
    two tenants is two people.
    """
    return hmac.digest(key, user.encode(), "sha256")[:16].hex()


def tenant_key(key: bytes, tenant: str) -> bytes:
    """Return the key of one tenant's users: of `default` the key itself, else an HMAC-SHA256."""
    return key if tenant == DEFAULT_TENANT else hmac.digest(key, tenant.encode(), "sha256")


def bucket(salt: str, user_hash: str) -> int:
    """Return 0 to 9,999, the same in every process, language and year.

    The first 8 bytes, big-endian, of SHA-256 over `salt`, one NUL byte and `user_hash` in UTF-8,
    modulo 10,000. Raises ValueError for a NUL in the salt, which would make two pairs one.
    """
    if "\0" in salt:
        raise ValueError("salt: holds a NUL character")
    digest = hashlib.sha256(f"{salt}\0{user_hash}".encode()).digest()
    return int.from_bytes(digest[:8]) % BUCKETS


def holdout_salt(policy: str) -> str:
    """Return the salt of a policy's long-term holdout, which no experiment ever has or changes."""
    return f"holdout/{policy}"


class Shares(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of the 10,000 buckets each variant has; the champion has the rest.

    The anchor has the middle of the holdout's own buckets, which are drawn apart from the
    experiment's: a range that a new experiment never moves, and that another share only grows or
    shrinks at its ends. Of everybody else the candidate has the low end, the control the high end:
    a growing candidate keeps all the users that it had, and so does its control.

    >>> shares = Shares(candidate=500, anchor=100)
    >>> [str(shares.of(b, holdout_bucket=0)) for b in (0, 499, 500, 9499, 9500)]
    ['candidate', 'candidate', 'champion', 'champion', 'control']
    >>> [str(shares.of(0, holdout_bucket=b)) for b in (4949, 4950, 5049, 5050)]
    ['candidate', 'anchor', 'anchor', 'candidate']

    Raises ValueError where candidate and control do not fit in 10,000.
    """

    candidate: Bucket = 0
    """Buckets of the candidate; the control has as many."""
    anchor: Bucket = 0
    """Buckets of the anchor, of the holdout's."""

    def __post_init__(self) -> None:
        if min(self.candidate, self.anchor) < 0 or self.anchor > BUCKETS:
            raise ValueError(f"shares: below 0 or above {BUCKETS}: {self}")
        if 2 * self.candidate > BUCKETS:
            raise ValueError(
                f"shares: candidate {self.candidate} and an equal control are more than"
                f" {BUCKETS} buckets"
            )

    @property
    def held_out(self) -> range:
        """The anchor's buckets of the holdout's; a smaller share's lie within a larger one's."""
        low = BUCKETS // 2 - self.anchor // 2
        return range(low, low + self.anchor)

    def of(self, bucket: int, *, holdout_bucket: int) -> Variant:
        """Return whose these buckets are; what the flag file's rules say, in Python."""
        if holdout_bucket in self.held_out:
            return Variant.ANCHOR
        if 0 <= bucket < self.candidate:
            return Variant.CANDIDATE
        if BUCKETS - self.candidate <= bucket < BUCKETS:
            return Variant.CONTROL
        return Variant.CHAMPION


class ServedVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The name and the bits of weights that an engine serves."""

    version: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    """Name of the adapter, `policy@v000017-3fa9c2e1`."""
    digest: Digest
    """SHA-256 of its weights, hex."""

    def __post_init__(self) -> None:
        if not self.version.endswith("-" + self.digest[:8]):
            raise ValueError(
                f"version: {self.version} does not end in the digest's first 8 digits,"
                f" {self.digest[:8]} (CONTRACTS 21)"
            )


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What one request is served by, and all that led there."""

    variant: Variant
    """What the flag returned."""
    served: ServedVersion
    """The weights to ask the engine for."""
    fallbacks: tuple[ServedVersion, ...]
    """Asked for in this order where the engine does not know `served`: the previous version, v0."""
    salt: str
    """Salt of the experiment; the anchor's is the holdout's."""
    bucket: int
    """0 to 9,999, from that salt and the user."""
    generation: int
    """Generation of the flag file that decided."""
    reason: str
    """The flag provider's own reason, or `kept`."""
    arm: str = ""
    """Arm of the experiment on the product around the model; empty for who is in none."""
    kept: bool = False
    """True where the session stays on an earlier version than the flag says by now."""

    @property
    def recorded(self) -> str:
        """The variant as events and tables have it: an experiment's arms are told apart."""
        return arm_variant(self.arm) if self.arm else str(self.variant)


def arm_variant(arm: str) -> str:
    """Return what events call the variant of an experiment's arm."""
    return f"arm:{arm}"
