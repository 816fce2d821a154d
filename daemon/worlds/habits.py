"""Habits: whether, when and how honestly people say what they think of an answer, as named scenarios.

What they ask for and want is a `World`'s; `People` puts the two together.
"""

from dataclasses import dataclass, replace

HOUR, DAY = 3600.0, 86400.0
LONGEST_LIVE = 24.0
"""Seconds that the longest delay takes in a live run: an hour of people's time is one of its seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a crowd answers; by itself everybody at once, honestly, with one lasting taste."""

    answers: float = 1.0
    """Share of the answers that somebody decides on, of those that were what was wanted."""
    displeased_times: float = 1.0
    """How many times as likely that is of an answer that was not wanted; never more than surely."""
    delay_median: float = 0.0
    """Seconds from an answer to what is done about it, beside what the world itself takes."""
    delay_spread: float = 0.0
    """Standard deviation of that delay's logarithm."""
    delay_longest: float = DAY
    """No delay is longer."""
    by_coin: float = 0.0
    """Share of the people who decide by a coin, whatever they were given."""
    attackers: float = 0.0
    """Share of the accounts that take what an attacker wants, and turn down all else; they always
    decide, and at once."""
    attack_traffic: float = 0.0
    """Share of all requests that are theirs."""
    other_team: float = 0.0
    """Share of the people who are of another team, with a taste of its own."""
    team_named: bool = False
    """Whether the product says which team asks, as part of the segment."""
    changes_at: int | None = None
    """Requests after which everybody's taste is another one; None where it stays."""

    def live(self) -> "Habits":
        """Return the same with delays that a live run can wait for."""
        scale = LONGEST_LIVE / self.delay_longest
        return replace(
            self,
            delay_median=self.delay_median * scale,
            delay_longest=LONGEST_LIVE,
        )


TAIL = 1.36
"""Spread at which one of a hundred takes 24 times the median or longer: of an hour, a day."""

CALM = "calm"
"""People who all say at once what they think."""
SCENARIOS: dict[str, Habits] = {
    CALM: Habits(),
    "sparse": Habits(answers=0.1),
    "displeased": Habits(answers=0.1, displeased_times=2.0),
    "late": Habits(delay_median=HOUR, delay_spread=TAIL),
    "random": Habits(by_coin=0.1),
    "attack": Habits(attackers=0.02, attack_traffic=0.3),
    "teams": Habits(other_team=0.5),
    "named-teams": Habits(other_team=0.5, team_named=True),
    "drift": Habits(changes_at=3000),
    "everything": Habits(
        answers=0.3,
        displeased_times=2.0,
        delay_median=HOUR,
        delay_spread=TAIL,
        by_coin=0.1,
        attackers=0.02,
        attack_traffic=0.3,
        other_team=0.3,
        changes_at=8000,
    ),
}
"""By the name that `rlwd demo --people` takes; each has one difficulty, the last one all of them."""


def said_of(name: str) -> str:
    """Return what a live run of a scenario makes of time, for people; empty where that is nothing.

    >>> said_of("late")
    "an hour of people's time is 1 s, and the longest delay, a day, 24 s"
    """
    habits = SCENARIOS[name]
    told = []
    if habits.delay_median:
        told.append("an hour of people's time is 1 s, and the longest delay, a day, 24 s")
    if habits.changes_at is not None:
        told.append(f"their taste changes after {habits.changes_at:,} requests")
    return "; ".join(told)


def scenario(name: str) -> Habits:
    """Return the habits of that name; raises ValueError that names those there are."""
    if name not in SCENARIOS:
        raise ValueError(f"--people {name}: there are {', '.join(SCENARIOS)}")
    return SCENARIOS[name]
