"""Experiment: what is tried on people besides versions: the champion against itself, or a harness."""

import enum
from datetime import UTC, datetime

import msgspec


class ExperimentKind(enum.StrEnum):
    """What is tried."""

    AA = "aa"
    """The champion against itself: what the tests say where there is nothing to find."""
    HARNESS = "harness"
    """Versions of the product around the model, with the policy held fixed."""


class ExperimentMove(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the trail."""

    what: str
    """started, found or ended."""
    at: float
    """Epoch seconds."""
    by: str
    """Who; `the daemon` where nobody did."""
    reason: str
    """Why, or what was found."""


class MetricReading(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of an arm against the first one, at the last look. Differences are relative."""

    arm: str
    """The arm that is compared with the first."""
    name: str
    """Of the metric."""
    value: float | None
    """Mean of the arm; None where it has none."""
    control: float | None
    """Mean of the first arm."""
    change: float | None
    """Relative difference."""
    low: float | None
    """Lower bound of it, at all looks with probability 1 - alpha_promote; None: not bounded yet."""
    high: float | None
    """Upper bound, likewise."""
    standard_error: float | None
    """Of `change`."""
    user_deviation: float | None
    """Standard deviation of one user's part in the mean, in the metric's unit: twice its square over
    the users per arm is the variance of the difference."""
    users: int
    """Users of the smaller arm."""
    harm: bool
    """Whether the arm is shown to be worse."""
    shown: bool
    """Whether the metric's goal is shown; for a guard, that no harm is."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one experiment."""

    name: str
    """Never used again."""
    kind: ExperimentKind
    """What is tried."""
    salt: str
    """Deals its users."""
    arms: tuple[str, ...]
    """The first is what the others are compared with."""
    share: float
    """Share of the users outside the holdout in all arms together."""
    version: str
    """The champion when it started."""
    started_at: float
    """Epoch seconds."""
    ends_at: float
    """When it ends by itself."""
    ended_at: float | None = None
    """When it ended."""
    looks: int = 0
    """Looks so far."""
    verdict: str = ""
    """What the tests say at the last look, in words."""
    outcome: str = ""
    """PASS, FAIL, WAIT or NODATA, of the last look."""
    readings: tuple[MetricReading, ...] = ()
    """Every metric at the last look."""
    false_alarms: tuple[str, ...] = ()
    """In an A/A: what would have been done to a candidate, though there is nothing to find."""
    mismatched: int = 0
    """Answers whose harness was not the arm that their user had."""
    split_broken: bool = False
    """The users were once found split wrongly; this never heals."""
    trail: tuple[ExperimentMove, ...] = ()
    """What happened, oldest first."""

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.ended_at is not None

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"{'A/A' if self.kind is ExperimentKind.AA else 'experiment'} {self.name}"

    @property
    def sentence(self) -> str:
        """Where it is, for people."""
        when = f"{datetime.fromtimestamp(self.ended_at or self.ends_at, UTC):%Y-%m-%d %H:%M} UTC"
        last = self.trail[-1]
        if self.ended:
            return f"{self.title} ended at {when} by {last.by}: {last.reason}"
        began = self.trail[0]
        return f"{self.title}, started by {began.by}, goes on until {when}: {began.reason}"


def ended(experiment: Experiment, by: str, reason: str, now: float) -> Experiment:
    """Return the experiment as over; one that is stays as it is."""
    if experiment.ended:
        return experiment
    move = ExperimentMove(what="ended", at=now, by=by, reason=reason)
    return msgspec.structs.replace(experiment, ended_at=now, trail=(*experiment.trail, move))
