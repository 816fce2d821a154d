"""Answers: what a comparison knows of the answers of one variant, as columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""A column of numbers; nan where an answer has none."""
Indices = NDArray[np.int64]
"""A column of whole numbers."""


LONGEST_HORIZON = 366 * 86400.0


class ComparisonSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[comparison]`: which answers are compared, and how much one user weighs."""

    undecided: float | Literal["omit"] = "omit"
    """Reward of an answer whose horizon passed without a decision; omit leaves it out of the reward.
    It stays in the feedback rate either way. docs/statistics.md has the simulation behind it."""
    horizon_seconds: float | None = None
    """Age at which an answer counts; none takes `decision` of the reward spec, by segment."""
    request_seconds: float | None = None
    """Longest from a request to its answer's end at any gateway; the split of users is tested by
    requests that are older, so that slow answers of one variant do not look like a broken split. None
    takes what `[gateway]` allows."""
    user_weight: float = 10.0
    """Most that one user may weigh, in multiples of the users' mean."""
    stratum_users: int = 20
    """Users per variant that a stratum of its own needs; smaller ones are compared together."""

    def __post_init__(self) -> None:
        if isinstance(self.undecided, float) and not 0 <= self.undecided <= 1:
            raise ValueError(f"undecided is {self.undecided}; it must be omit or lie in [0, 1]")
        horizon = self.horizon_seconds
        if horizon is not None and not 0 <= horizon <= LONGEST_HORIZON:
            raise ValueError(f"horizon_seconds is {horizon}; it must be 0 to {LONGEST_HORIZON:g}")
        longest = self.request_seconds
        if longest is not None and not 0 <= longest <= LONGEST_HORIZON:
            raise ValueError(f"request_seconds is {longest}; it must be 0 to {LONGEST_HORIZON:g}")
        if not self.user_weight >= 1 or self.stratum_users < 2:
            raise ValueError(
                "user_weight must be at least 1 and stratum_users 2: they are"
                f" {self.user_weight:g} and {self.stratum_users}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """The answers of one variant under one salt: columns of equal length, one row an answer."""

    user: Indices
    """Index of the user into `earlier`; -1 for an unnamed user, whose answers do not count."""
    stratum: Indices
    """Index of segment and harness together; the same coding in all variants."""
    served_at: Floats
    """Epoch seconds."""
    horizon: Floats
    """Seconds after which the answer's reward is final."""
    values: Mapping[str, Floats] = field(default_factory=dict)
    """The answer's numbers by name: reward (nan while undecided), failed, latency, tokens, ..."""
    earlier: Floats
    """Each user's mean reward before the salt's first exposure; nan for a user without one."""

    def column(self, name: str) -> Floats | None:
        """Return a number of the answers; None where no answer carries it."""
        if name == "decided":
            reward = self.values.get("reward")
            return None if reward is None else np.isfinite(reward).astype(float)
        return self.values.get(name)

    def counted(self, now: float, *, matured: bool) -> NDArray[np.bool_]:
        """Return which answers count now: those of named users, past their horizon where asked."""
        known = self.user >= 0
        return known & (self.served_at + self.horizon <= now) if matured else known
