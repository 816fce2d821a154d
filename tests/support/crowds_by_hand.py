"""Crowds whose answers and feedback go the production's road: records, tables, one observation."""

import functools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ledger_by_hand import FEEDBACK, Ledger, feedback, generation, open_ledger

from rlwd.ops.rollout.observe import Comparing, observe_users
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.statistics.answers import ComparisonSettings
from rlwd.ops.statistics.guardrail import Observation
from rlwd.streams.events.signals import Accepted, Rejected

SALT = "the experiment"
NOTHING = {"text": "", "completion_token_ids": (2,), "logprobs": (-0.1,)}
"""An answer that shows nothing."""
FAILED = {"text": "", "finish_reason": "error", "status": 502}
"""An answer that the engine failed."""


def fill(
    ledger: Ledger,
    variant: str,
    mean: float,
    users: int,
    *,
    exposed: int = 0,
    failed: int = 0,
    empty: int = 0,
    at: float = 1000.0,
    first: int = 0,
    salt: str = SALT,
    **more: Any,
) -> None:
    """Let users get one answer each, of which `users` are decided and good on average `mean`.

    Of all that were `exposed` the last ones failed or showed nothing.
    """
    exposed = max(users, exposed)
    good = round(mean * users)
    shown: list[bytes] = []
    said: list[bytes] = []
    for number in range(exposed):
        left = exposed - number
        broken = FAILED if left <= failed else NOTHING if left <= empty else {}
        user = f"{variant}.u{first + number}"
        name = f"{salt}.{user}.{at:g}"
        known = {"user_hash": user, "salt": salt, "variant": variant, **more}
        shown.append(generation(name, at, **{**known, **broken}))
        if number < users:
            # Good and bad come evenly mixed, so that no run of either is news.
            signal = Accepted() if number * good % users < good else Rejected()
            said.append(feedback(f"{name}.f", name, signal, at))
    ledger.take(*shown)
    ledger.take(*said, partition=FEEDBACK, now=at)


def seen_in(ledger: Ledger, settings: RolloutSettings, *, salt: str = SALT) -> Observation:
    """Look as a release does; an answer counts at once."""
    at_once = Comparing.of(settings, ComparisonSettings(horizon_seconds=0.0), lambda segment: 0.0)
    with ledger.store.reading() as view:
        return observe_users(view, ledger.joiner.policy, salt, at_once)


Arm = tuple[tuple[str, float], ...]


def arm(mean: float, users: int, **more: int) -> Arm:
    """Describe one variant's users; what `fill` takes."""
    return (("mean", mean), ("users", users), *sorted(more.items()))


@functools.cache
def look_of(settings: RolloutSettings, candidate: Arm, control: Arm) -> Observation:
    """Return what a look at a candidate and its control sees of such users."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(Path(folder) / "rlwd.db")
        for variant, told in (("candidate", candidate), ("control", control)):
            asked: dict[str, Any] = dict(told)
            fill(ledger, variant, **asked)
        found = seen_in(ledger, settings)
        ledger.store.close()
    return found


def looks_of(
    settings: RolloutSettings, candidate: Sequence[bool], control: Sequence[bool], every: int
) -> Iterator[Observation]:
    """Yield a look after every so many pairs of users, who say whether their answer was good."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(Path(folder) / "rlwd.db")
        for first in range(0, len(candidate), every):
            for variant, said in (("candidate", candidate), ("control", control)):
                part = said[first : first + every]
                good = sum(part) / len(part)
                fill(ledger, variant, good, len(part), at=1000.0 + first, first=first)
            yield seen_in(ledger, settings)
        ledger.store.close()
