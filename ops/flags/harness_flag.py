"""Harness flag: an experiment on the product around the model, as the flag file has it.

It has a flag of its own, which returns the arm, and users of its own, drawn under its own salt: they
are in no rollout, and the policy that answers them stays the same. The holdout is in neither.
"""

import re
from typing import Annotated, Any

import msgspec

from .assignment import BUCKETS, Bucket, ServedVersion
from .targeting import within

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
"""What a flag and an arm may be called."""
MOST_ARMS = 8


class HarnessFlag(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment under way.

    >>> digest = "ab" * 32
    >>> served = ServedVersion(version="policy@v000001-abababab", digest=digest)
    >>> flag = HarnessFlag(name="prompt", salt="s", arms=("old", "new"), share=2000, served=served)
    >>> [flag.arm_of(number) for number in (0, 999, 1000, 1999, 2000)]
    ['old', 'old', 'new', 'new', None]

    Raises ValueError for names that no flag can have, fewer than two arms, or a share that leaves an
    arm without buckets.
    """

    name: Annotated[str, msgspec.Meta(max_length=64)]
    """Of the experiment: the key of its flag."""
    salt: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    """Deals its users."""
    arms: tuple[str, ...]
    """The first is what everybody else gets as well."""
    share: Bucket
    """Buckets of all arms together; each has as many."""
    served: ServedVersion
    """Answers all of its users."""

    def __post_init__(self) -> None:
        for name in (self.name, *self.arms):
            if not NAME.fullmatch(name):
                raise ValueError(
                    f"experiment: {name!r} is no name of a flag or arm: a to z, 0 to 9, _ and -,"
                    " at most 64, a letter first"
                )
        if not 2 <= len(set(self.arms)) == len(self.arms) <= MOST_ARMS:
            raise ValueError(
                f"experiment {self.name}: arms are {', '.join(self.arms)}; there must be 2 to"
                f" {MOST_ARMS}, each named once"
            )
        if not len(self.arms) <= self.share <= BUCKETS:
            raise ValueError(
                f"experiment {self.name}: {self.share} of {BUCKETS} buckets for {len(self.arms)} arms"
            )
        if "\0" in self.salt:
            raise ValueError(f"experiment {self.name}: its salt holds a NUL character")

    @property
    def size(self) -> int:
        """Buckets of one arm."""
        return self.share // len(self.arms)

    @property
    def taken(self) -> int:
        """Buckets from 0 on that are in the experiment."""
        return self.size * len(self.arms)

    def arm_of(self, bucket: int) -> str | None:
        """Return whose this bucket is, under the experiment's salt; None for nobody's."""
        return self.arms[bucket // self.size] if 0 <= bucket < self.taken else None


def harness_rules(flag: HarnessFlag, held_out: range) -> dict[str, Any]:
    """Return the flagd flag: the arm's name is its value; who is in none gets the first."""
    clauses: list[Any] = []
    if held_out:
        clauses += [within("holdout_bucket", held_out.start, len(held_out)), flag.arms[0]]
    for place, arm in enumerate(flag.arms):
        clauses += [within("experiment_bucket", place * flag.size, flag.size), arm]
    return {
        "state": "ENABLED",
        "variants": {arm: arm for arm in flag.arms},
        "defaultVariant": flag.arms[0],
        "targeting": {"if": [*clauses, flag.arms[0]]},
    }


def harness_metadata(flag: HarnessFlag | None) -> dict[str, Any]:
    """Return what the document's metadata says of it: flagd's has no lists and no objects."""
    if flag is None:
        return {}
    return {
        "experiment": flag.name,
        "experiment_salt": flag.salt,
        "experiment_arms": " ".join(flag.arms),
        "experiment_share": flag.share,
        "experiment_version": flag.served.version,
        "experiment_digest": flag.served.digest,
    }


class HarnessMetadata(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The same, as it is read; nothing where no experiment goes on."""

    experiment: str = ""
    """Name."""
    experiment_salt: str = ""
    """Salt."""
    experiment_arms: str = ""
    """Arms, with spaces between them."""
    experiment_share: int = 0
    """Buckets."""
    experiment_version: str = ""
    """Version that is served."""
    experiment_digest: str = ""
    """Its digest."""

    def flag(self) -> dict[str, Any] | None:
        """Return the flag as plain values; None where there is none."""
        if not self.experiment:
            return None
        return {
            "name": self.experiment,
            "salt": self.experiment_salt,
            "arms": self.experiment_arms.split(" "),
            "share": self.experiment_share,
            "served": {"version": self.experiment_version, "digest": self.experiment_digest},
        }
