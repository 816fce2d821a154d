"""A world for rollouts: users, answers and feedback of two variants, drawn from known truths.

Nothing here uses the statistics under test. Users are heavy-tailed, have a taste and a past, and
come back; answers belong to an easy or a hard segment; whether an answer was good depends on
taste, segment, time of day, drift, and the variant's effect, which may fade (novelty); feedback
on it comes with a probability and a delay that may differ by variant and outcome.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HOUR = 3600.0
HORIZON = HOUR


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One variant's truth."""

    effect: float = 0.0
    """Points added to the probability that an answer is good."""
    novelty: float = 0.0
    """Points added at first, which fade within hours of a user's first answer."""
    good_delay: float = 120.0
    """Mean seconds until good answers are accepted."""
    bad_delay: float = 120.0
    """Mean seconds until bad ones are rejected."""
    good_reported: float = 0.6
    """Share of the good answers that anybody ever decides on."""
    bad_reported: float = 0.6
    """Likewise of the bad ones."""
    hard_share: float = 0.3
    """Share of the answers in the hard segment."""
    failed: float = 0.02
    """Share of the requests that fail, in clusters of users."""
    slowness: float = 1.0
    """Factor on the latency."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What both variants share, and what each does."""

    name: str
    candidate: Arm = Arm()
    control: Arm = Arm()
    users: int = 3000
    """Per variant by the end."""
    hours: float = 24.0
    easy: float = 0.70
    hard: float = 0.45
    taste: float = 0.15
    """Standard deviation of users' own levels."""
    season: float = 0.05
    drift: float = -0.05
    failing_users: float = 1.0
    """Share of the users on whom the failures fall: 1 spreads them, 0.2 clusters them."""
    busy: float = 1.0
    """Factor on how often users come back."""
    newcomers: float = 0.0
    """Points by which users who come last differ from those who come first, in both variants."""
    horizon: float = HORIZON
    """Seconds until an answer counts."""
    every: float = 0.0
    """Hours between two looks; 0 takes what the simulation is run with."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One variant's answers, oldest first, one element each."""

    user: NDArray[np.int64]
    served_at: NDArray[np.float64]
    hard: NDArray[np.bool_]
    good: NDArray[np.bool_]
    decided_at: NDArray[np.float64]
    """inf where nobody decides."""
    failed: NDArray[np.bool_]
    latency: NDArray[np.float64]
    earlier: NDArray[np.float64]
    """By user: mean outcome of earlier answers; nan for users without."""
    horizon: float
    """Seconds until an answer counts."""


def level(
    world: World, arm: Arm, hard: NDArray[np.bool_], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the probability of a good answer for a user of average taste, novelty apart."""
    base = np.where(hard, world.hard, world.easy) + arm.effect
    season = world.season * np.sin(2 * np.pi * at / (24 * HOUR))
    return base + season + world.drift * at / (world.hours * HOUR)


def draw(world: World, arm: Arm, generator: np.random.Generator) -> Drawn:
    """Draw one variant of one rollout."""
    end = world.hours * HOUR
    first = generator.uniform(0, end, world.users)
    often = np.minimum(generator.pareto(1.3, world.users) * 2.5, 60) * (1 - first / end)
    often *= world.busy
    count = 1 + generator.poisson(often)
    taste = generator.normal(0, world.taste, world.users)
    taste += world.newcomers * (first / end - 0.5)
    past = generator.poisson(4, world.users)
    with np.errstate(invalid="ignore"):
        earlier = generator.binomial(past, np.clip(0.62 + taste, 0, 1)) / past
    user = np.repeat(np.arange(world.users), count)
    at = first[user] + generator.random(len(user)) * (end - first[user])
    starts = np.cumsum(count) - count
    at[starts] = first
    order = np.argsort(at, kind="stable")
    user, at = user[order], at[order]
    hard = generator.random(len(user)) < arm.hard_share
    fading = arm.novelty * np.exp(-(at - first[user]) / (4 * HOUR))
    chance = level(world, arm, hard, at) + taste[user] + fading
    good = generator.random(len(user)) < np.clip(chance, 0, 1)
    reported = generator.random(len(user)) < np.where(good, arm.good_reported, arm.bad_reported)
    delay = generator.gamma(4, 1, len(user)) / 4 * np.where(good, arm.good_delay, arm.bad_delay)
    unlucky = generator.random(world.users) < world.failing_users
    failed = unlucky[user] & (generator.random(len(user)) < arm.failed / world.failing_users)
    latency = arm.slowness * np.exp(generator.normal(0, 0.5, len(user)) + 2 * taste[user])
    return Drawn(
        user=user,
        served_at=at,
        hard=hard,
        good=good,
        decided_at=np.where(reported, at + delay, np.inf),
        failed=failed,
        latency=latency,
        earlier=earlier,
        horizon=world.horizon,
    )


WORLDS = {
    world.name: world
    for world in (
        World(name="equal"),
        World(name="equal, other delays", candidate=Arm(good_delay=600.0, bad_delay=30.0)),
        World(
            name="equal, hard segment used twice as much", candidate=Arm(hard_share=0.6, effect=0.0)
        ),
        World(name="equal, answered less", candidate=Arm(good_reported=0.4, bad_reported=0.4)),
        World(name="equal, failures of 5 %", candidate=Arm(failed=0.05), control=Arm(failed=0.05)),
        World(
            name="equal, clustered failures of 10 %",
            candidate=Arm(failed=0.1),
            control=Arm(failed=0.1),
            failing_users=0.2,
        ),
        World(name="worse by 10 points", candidate=Arm(effect=-0.1)),
        World(name="worse by 10 points, shows late", candidate=Arm(effect=-0.1, bad_delay=1800.0)),
        World(
            name="worse by 10 points, rejections reported at .4",
            candidate=Arm(effect=-0.1, bad_reported=0.4),
        ),
        World(
            name="worse by 10 points, all reported at .4",
            candidate=Arm(effect=-0.1, bad_reported=0.4, good_reported=0.4),
        ),
        World(
            name="worse by 10 points, all reported at .8",
            candidate=Arm(effect=-0.1, bad_reported=0.8, good_reported=0.8),
        ),
        World(
            name="worse by 5 points, rejections reported at .5",
            candidate=Arm(effect=-0.05, bad_reported=0.5),
        ),
        World(name="equal, fails three times as often", candidate=Arm(failed=0.06)),
        World(name="worse by 10 points, new at first", candidate=Arm(effect=-0.1, novelty=0.1)),
        World(name="worse by the margin", candidate=Arm(effect=-0.05 * 0.6)),
        World(
            name="worse by the margin, shows late",
            candidate=Arm(effect=-0.05 * 0.6, bad_delay=1800.0),
        ),
        World(name="better by 3 points", candidate=Arm(effect=0.03)),
        World(name="better by 10 points", candidate=Arm(effect=0.1)),
    )
}
"""The rollouts that are simulated a thousand times, by name; `crowd_worlds.py` has more."""
