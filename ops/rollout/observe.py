"""Observe: what people did under one experiment, counted from the episodes by variant."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ...streams.answers.answer_rows import AnswerRow, answer_rows
from ...streams.answers.exposure import VariantTally, exposures, mirrored_pairs
from ...streams.state.transaction import Transaction
from ..drift.answer_numbers import NUMBERS, as_number, numbers_of
from ..stages.settings import DAY, RolloutSettings
from ..statistics.answers import Answers, ComparisonSettings
from ..statistics.guardrail import Observation, VariantObservation
from ..statistics.look_settings import LookSettings
from ..statistics.metric import MetricSettings
from ..statistics.paired_look import PairedLook, look_at_pairs
from ..statistics.readout import Readout, read_out
from ..statistics.tripwire import Served, TripwireSettings, tripped

LAST_ANSWERS = 100
"""Answers of each variant that the tripwire reads."""

CLOCKS_APART = 60.0
"""By so many seconds a gateway's clock may be ahead of the reader's."""


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
    numbers: tuple[str, ...]
    """Numbers of an answer that the metrics need."""
    own: tuple[str, ...]
    """Likewise of the product's own."""
    horizon: Callable[[str], float]
    """Segment to the seconds after which an answer's reward is final."""

    @classmethod
    def of(
        cls,
        settings: RolloutSettings,
        comparison: ComparisonSettings,
        horizon: Callable[[str], float],
    ) -> "Comparing":
        """Return the comparison that is asked for.

        `horizon` is the reward spec's, for where `comparison` gives none. Raises ValueError for a metric
        that no answer carries, and where silence earns a reward and nothing watches it.
        """
        watched = "feedback_rate" in {metric.name for metric in settings.metrics}
        if comparison.undecided not in ("omit", 0.0) and not watched:
            raise ValueError(
                f"comparison.undecided is {comparison.undecided} and no rollout.metric feedback_rate:"
                " a version that people answer no more could be promoted for it"
            )
        fixed = comparison.horizon_seconds
        numbers, own = numbers_of(settings.metrics)
        return cls(
            numbers=numbers,
            own=own,
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
    earlier: Mapping[str, float] | None = None,
    until: float = math.inf,
) -> Observation:
    """Return what candidate and control did since their experiment's salt is in use.

    With `since`, epoch seconds, only answers received from then on are counted; with `looks`, by
    tests of other error probabilities; `earlier` holds users' mean rewards from before. Horizons go
    by the newest answer read, and not by this machine's clock: a reader that lags takes nobody for
    silent, nor does one wrong clock, since it is never ahead of `until`, the reader's present.
    """
    # What fails in a session that was moved fails all the same: the tripwire sees it.
    served = answer_rows(tx, policy, salt, since=since, own=comparing.own, moved=True)
    served, now = in_time(served, until)
    rows = [row for row in served if not row.moved]
    ours, theirs = by_variant(rows)
    all_ours, all_theirs = by_variant(served)
    readout = readout_of(rows, comparing, now, looks=looks, earlier=earlier)
    settled = now - (comparing.comparison.request_seconds or 0.0)
    tallies = exposures(tx, policy, salt, since=since, assigned_until=settled)
    return Observation(
        candidate=_variant(tallies.get("candidate", VariantTally())),
        control=_variant(tallies.get("control", VariantTally())),
        readout=readout,
        tripped=tripped(last_served(all_ours), last_served(all_theirs), comparing.tripwire),
        days=_whole_days(ours, theirs, comparing, now),
    )


def in_time(served: list[AnswerRow], until: float) -> tuple[list[AnswerRow], float]:
    """Return answers, the last one last, and the time by them, at most `until` and a little.

    What some clock says is still to come is not the last that was served: it stands first.
    """
    latest = until + CLOCKS_APART
    if not served or served[-1].received <= latest:
        return served, served[-1].received if served else 0.0
    return sorted(served, key=lambda row: (row.received <= latest, row.received)), latest


def observe_mirrored(
    tx: Transaction, policy: str, version: str, settings: RolloutSettings
) -> PairedLook:
    """Return what a candidate answered that nobody was shown, beside what people got."""
    pairs = mirrored_pairs(tx, policy, version)
    return look_at_pairs(pairs, settings.guardrail, longer=settings.shadow.longer)


def _whole_days(
    ours: list[AnswerRow], theirs: list[AnswerRow], comparing: Comparing, now: float
) -> int:
    """Return how many days of 24 hours, from the first answer on, are over and count.

    A day without an answer of either variant is none: it shows nothing of a season.
    """
    if not ours or not theirs:
        return 0
    began = min(row.received for row in (*ours, *theirs))
    horizon = max(comparing.horizon(segment) for segment in {r.segment for r in (*ours, *theirs)})
    days = [{int((row.received - began) // DAY) for row in rows} for rows in (ours, theirs)]
    return sum(began + (day + 1) * DAY + horizon <= now for day in days[0] & days[1])


def by_variant(rows: Iterable[AnswerRow]) -> tuple[list[AnswerRow], list[AnswerRow]]:
    """Return the rows of candidate and control."""
    found: dict[str, list[AnswerRow]] = {"candidate": [], "control": []}
    for row in rows:
        found[row.variant].append(row)
    return found["candidate"], found["control"]


def readout_of(
    rows: list[AnswerRow],
    comparing: Comparing,
    now: float,
    *,
    looks: LookSettings | None = None,
    earlier: Mapping[str, float] | None = None,
) -> Readout:
    """Return all metrics over answers of candidate and control, as of the newest answer read."""
    kinds = sorted({(row.segment, row.harness) for row in rows})
    strata = {kind: place for place, kind in enumerate(kinds)}
    ours, theirs = by_variant(rows)
    return read_out(
        comparing.metrics,
        _answers(ours, strata, comparing, earlier or {}),
        _answers(theirs, strata, comparing, earlier or {}),
        now=now,
        comparison=comparing.comparison,
        settings=looks or comparing.looks,
    )


def _answers(
    rows: list[AnswerRow],
    strata: dict[tuple[str, str], int],
    comparing: Comparing,
    earlier: Mapping[str, float],
) -> Answers:
    users: dict[str, int] = {}
    for row in rows:
        if row.user:
            users.setdefault(row.user, len(users))
    return Answers(
        user=np.array([users.get(row.user, -1) for row in rows], np.int64),
        stratum=np.array([strata[row.segment, row.harness] for row in rows], np.int64),
        served_at=np.array([row.received for row in rows], float),
        horizon=np.array([comparing.horizon(row.segment) for row in rows], float),
        values={
            name: np.array([as_number(NUMBERS[name](row)) for row in rows], float)
            for name in comparing.numbers
        }
        | {
            name: np.array([as_number(row.own[place]) for row in rows], float)
            for place, name in enumerate(comparing.own)
        },
        earlier=np.array([earlier.get(user, np.nan) for user in users], float),
    )


def _variant(tally: VariantTally) -> VariantObservation:
    return VariantObservation(exposed_users=tally.users, assigned_users=tally.assigned)


def last_served(rows: list[AnswerRow]) -> list[Served]:
    """Return how the last answers of a variant ended, for the tripwire."""
    return [
        Served(user=row.user, failed=bool(row.failed or row.empty)) for row in rows[-LAST_ANSWERS:]
    ]
