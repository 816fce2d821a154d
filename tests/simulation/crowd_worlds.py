"""More worlds: small crowds, rare and common success, late hours, one-minded users, changing crowds.

They are what a fault in the readout shows in: a horizon of hours, users whose answers are all alike,
looks every few minutes. `make simulate` runs each 300 times.
"""

from dataclasses import replace

from rollout_world import HOUR, Arm, World

MARGIN = 0.05
SMALL = World(name="300 users, equal", users=300)
RARE = World(
    name="base 1 %, equal", easy=0.012, hard=0.006, taste=0.004, season=0.0, drift=0.0, users=10_000
)
COMMON = World(name="base 95 %, equal", easy=0.97, hard=0.90, taste=0.02, season=0.0, drift=0.0)
HOURS = World(
    name="equal, acceptances hours later",
    horizon=8 * HOUR,
    candidate=Arm(good_delay=3 * HOUR, bad_delay=HOUR / 4),
    control=Arm(good_delay=HOUR / 4, bad_delay=HOUR / 4),
)
"""An answer counts after eight hours of the day, so what is late is a good part of what there is."""
CHANGING = World(name="equal, the crowd changes", drift=-0.3, newcomers=-0.2)
"""The crowd of the evening is another than that of the morning, in both variants."""
RARE_RATE, COMMON_RATE, RATE = 0.0102, 0.949, 0.6


def edge_at(rate: float) -> Arm:
    """Return a candidate that is worse by the margin at a base rate."""
    return Arm(effect=-MARGIN * rate)


LATE = Arm(effect=-0.1, good_delay=HOUR / 4, bad_delay=3 * HOUR)
EDGE, WORSE = edge_at(RATE), Arm(effect=-0.1)
"""Worse by the margin, and by 10 points, where the base rate is 60 %."""
CROWDS = {
    world.name: world
    for world in (
        SMALL,
        replace(SMALL, name="300 users, equal, a look every 15 minutes", every=0.25),
        replace(SMALL, name="300 users, worse by the margin", candidate=EDGE),
        replace(SMALL, name="300 users, worse by 10 points", candidate=WORSE),
        replace(SMALL, name="300 users, worse by 30 points", candidate=Arm(effect=-0.3)),
        RARE,
        replace(RARE, name="base 1 %, worse by the margin", candidate=edge_at(RARE_RATE)),
        replace(RARE, name="base 1 %, loses half", candidate=Arm(effect=-RARE_RATE / 2)),
        COMMON,
        replace(COMMON, name="base 95 %, worse by the margin", candidate=edge_at(COMMON_RATE)),
        replace(COMMON, name="base 95 %, worse by 10 points", candidate=WORSE),
        HOURS,
        replace(HOURS, name="worse by 10 points, rejections hours later", candidate=LATE),
        World(name="equal, 500 users of one mind", users=500, taste=0.4, busy=20.0),
        World(name="equal, a look every 15 minutes", every=0.25),
        CHANGING,
        replace(CHANGING, name="worse by the margin, the crowd changes", candidate=EDGE),
        replace(CHANGING, name="worse by 10 points, the crowd changes", candidate=WORSE),
    )
}
"""By name."""
