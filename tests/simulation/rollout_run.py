"""Run many rollouts of a world by the readout under test, and count what became of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from rollout_oracle import plain_verdict
from rollout_world import HOUR, Drawn, World, draw

from rlwd.ops.statistics.answers import Answers, ComparisonSettings
from rlwd.ops.statistics.look_settings import LookSettings
from rlwd.ops.statistics.metric import MetricSettings
from rlwd.ops.statistics.readout import read_out
from rlwd.ops.statistics.verdict import VerdictKind

MARGIN = 0.05
METRICS = (
    MetricSettings(name="reward", kind="non-inferior", margin=MARGIN, alpha_share=4.0),
    MetricSettings(
        name="feedback_rate", kind="non-inferior", margin=MARGIN, alpha_share=2.0, on_harm="hold"
    ),
    MetricSettings(name="error_rate", tolerance=0.1),
)
SETTINGS = LookSettings(promote_planned_users=1500)
Method = Literal["ours", "fixed horizon", "peeking"]


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What became of many rollouts."""

    world: str
    method: str
    runs: int
    promoted: float
    rolled_back: float
    held: float
    """Neither, because a metric that only holds showed harm."""
    hours: float
    """Median hours until one of the three; nan where fewer than half came to one."""

    @property
    def stopped(self) -> float:
        """Share that was found: rolled back or held."""
        return self.rolled_back + self.held


def answers_of(drawn: Drawn, now: float) -> Answers:
    """Return what the daemon would know by now: feedback that came within the horizon, no later."""
    seen = int(np.searchsorted(drawn.served_at, now, side="right"))
    decided = drawn.decided_at[:seen]
    known = (decided <= now) & (decided - drawn.served_at[:seen] <= drawn.horizon)
    return Answers(
        user=drawn.user[:seen],
        stratum=drawn.hard[:seen].astype(np.int64),
        served_at=drawn.served_at[:seen],
        horizon=np.full(seen, drawn.horizon),
        values={
            "reward": np.where(known, drawn.good[:seen].astype(float), np.nan),
            "failed": drawn.failed[:seen].astype(float),
            "latency": drawn.latency[:seen],
        },
        earlier=drawn.earlier,
    )


def our_verdict(
    candidate: Drawn,
    control: Drawn,
    looks: Sequence[float],
    comparison: ComparisonSettings,
    metrics: tuple[MetricSettings, ...],
) -> tuple[str, float]:
    """Return what the readout decides first, and when. What was held once is not promoted."""
    held_at = None
    for now in looks:
        readout = read_out(
            metrics,
            answers_of(candidate, now),
            answers_of(control, now),
            now=now,
            comparison=comparison,
            settings=SETTINGS,
        )
        if readout.verdict.outcome is VerdictKind.FAIL:
            return "rolled back", now
        if readout.held and held_at is None:
            held_at = now
        if readout.verdict.outcome is VerdictKind.PASS and held_at is None:
            return "promoted", now
    return ("open", looks[-1]) if held_at is None else ("held", held_at)


def simulate(
    world: World,
    *,
    runs: int,
    seed: int,
    comparison: ComparisonSettings | None = None,
    metrics: tuple[MetricSettings, ...] = METRICS,
    methods: Sequence[Method] = ("ours",),
    every: int = 1,
    first: int = 0,
) -> Iterator[Outcomes]:
    """Draw the rollouts once and judge them by each method, with a look after every so many hours.

    Each rollout has a seed of its own, from its number: a run may begin at the `first` that is open.
    """
    looks = list(np.arange(2, world.hours + 1e-9, world.every or every) * HOUR)
    ends: dict[Method, list[tuple[str, float]]] = {method: [] for method in methods}
    for number in range(first, first + runs):
        generator = np.random.default_rng([seed, number])
        candidate, control = (
            draw(world, arm, generator) for arm in (world.candidate, world.control)
        )
        for method in methods:
            if method == "ours":
                end = our_verdict(
                    candidate, control, looks, comparison or ComparisonSettings(), metrics
                )
            else:
                seen = looks if method == "peeking" else looks[-1:]
                end = plain_verdict(candidate, control, seen, MARGIN)
            ends[method].append(end)
    for judged_by, found in ends.items():
        yield _outcomes(world.name, judged_by, found)


def _outcomes(world: str, method: str, ends: list[tuple[str, float]]) -> Outcomes:
    shares = {
        kind: sum(end == kind for end, _ in ends) / len(ends)
        for kind in ("promoted", "rolled back", "held")
    }
    times = sorted(at if end != "open" else np.inf for end, at in ends)
    middle = times[len(times) // 2]
    return Outcomes(
        world=world,
        method=method,
        runs=len(ends),
        promoted=shares["promoted"],
        rolled_back=shares["rolled back"],
        held=shares["held"],
        hours=middle / HOUR if np.isfinite(middle) else float("nan"),
    )
