"""Observe: what people did under one experiment, counted from the episodes by variant."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...streams.join.exposure import AnswerRow, VariantTally, answer_rows, exposures
from ...streams.state.transaction import Transaction
from ..statistics.answers import Answers, ComparisonSettings
from ..statistics.guardrail import Observation, VariantObservation
from ..statistics.look_settings import LookSettings
from ..statistics.metric import MetricSettings
from ..statistics.readout import read_out
from ..statistics.sequential_tests import UserSums
from ..statistics.tripwire import Served, TripwireSettings, tripped
from .settings import RolloutSettings

LAST_ANSWERS = 100
"""Answers of each variant that the tripwire reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """How candidate and control are compared."""

    metrics: tuple[MetricSettings, ...]
    """What is compared, and what must be shown of it."""
    looks: LookSettings
    """Error probabilities and sizes of the tests."""
    tripwire: TripwireSettings
    """When a run of failed answers is enough."""
    comparison: ComparisonSettings
    """Which answers count, and how much one user weighs."""
    horizon: Callable[[str], float]
    """Segment to the seconds after which an answer's reward is final."""

    @classmethod
    def of(
        cls,
        settings: RolloutSettings,
        comparison: ComparisonSettings,
        horizon: Callable[[str], float],
    ) -> "Comparing":
        """Return the comparison that a configuration asks for.

        `horizon` is the reward spec's, used where `comparison` gives none.
        """
        fixed = comparison.horizon_seconds
        return cls(
            metrics=settings.metrics,
            looks=settings.looks,
            tripwire=TripwireSettings(answers=settings.guardrail.min_bad),
            comparison=comparison,
            horizon=horizon if fixed is None else lambda segment: fixed,
        )


def observe_users(
    tx: Transaction,
    policy: str,
    salt: str,
    comparing: Comparing,
    *,
    since: float = 0.0,
    looks: LookSettings | None = None,
) -> Observation:
    """Return what candidate and control did since their experiment's salt is in use.

    With `since`, epoch seconds, only answers received from then on are counted; with `looks`, by
    tests of other error probabilities. The clock of the horizons is the newest answer that was read
    and not this machine's, so a reader that lags takes nobody for silent.
    """
    rows = answer_rows(tx, policy, salt, since=since)
    now = rows[-1][3] if rows else 0.0
    strata = {
        segment: place for place, segment in enumerate(sorted({row[2] or "" for row in rows}))
    }
    ours, theirs = (
        [row for row in rows if row[0] == variant] for variant in ("candidate", "control")
    )
    readout = read_out(
        comparing.metrics,
        _answers(ours, strata, comparing),
        _answers(theirs, strata, comparing),
        now=now,
        comparison=comparing.comparison,
        settings=looks or comparing.looks,
    )
    tallies = exposures(tx, policy, salt, since=since)
    return Observation(
        candidate=_variant(ours, tallies.get("candidate", VariantTally()), comparing, now),
        control=_variant(theirs, tallies.get("control", VariantTally()), comparing, now),
        readout=readout,
        tripped=tripped(_last(ours), _last(theirs), comparing.tripwire),
    )


def _answers(rows: list[AnswerRow], strata: dict[str, int], comparing: Comparing) -> Answers:
    users: dict[str, int] = {}
    for row in rows:
        if row[1]:
            users.setdefault(row[1], len(users))
    return Answers(
        user=np.array([users.get(row[1], -1) for row in rows], np.int64),
        stratum=np.array([strata[row[2] or ""] for row in rows], np.int64),
        served_at=np.array([row[3] for row in rows], float),
        horizon=np.array([comparing.horizon(row[2] or "") for row in rows], float),
        values={
            "reward": np.array([np.nan if row[4] is None else row[4] for row in rows], float),
            "failed": np.array([row[5] for row in rows], float),
            "cut_off": np.array([row[6] or row[7] for row in rows], float),
        },
        earlier=np.full(len(users), np.nan),
    )


def _variant(
    rows: list[AnswerRow], tally: VariantTally, comparing: Comparing, now: float
) -> VariantObservation:
    sums = (
        (user, reward, 1.0)
        for _, user, segment, received, reward, *_ in rows
        if user and reward is not None and received + comparing.horizon(segment or "") <= now
    )
    return VariantObservation(
        sums=UserSums.of(sums),
        exposed_users=tally.users,
        requests=tally.requests,
        errors=tally.failed,
        empty=tally.empty,
    )


def _last(rows: list[AnswerRow]) -> list[Served]:
    return [
        Served(user=user, failed=bool(failed or empty))
        for _, user, _, _, _, failed, empty, _ in rows[-LAST_ANSWERS:]
    ]
