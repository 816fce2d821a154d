"""People: a crowd of one or several tastes with habits of its own, as one world (a `World`)."""

import random
from dataclasses import dataclass, replace
from typing import Any

from .habits import Habits
from .tastes import Tastes
from .world import Act, Answer, Ask, Reaction, World

ATTACKER = "attacker"
"""Names of attackers begin so."""
DECIDES_SECONDS = 0.2
"""After so long somebody decides who does not look at the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """What one of them has in mind with a request."""

    about: Any
    """As the taste's own world has it."""
    taste: World
    """Who decides whether the answer is what was wanted."""


class People:
    """Any tastes under any habits."""

    def __init__(self, tastes: Tastes, habits: Habits, *, seed: int, users: int) -> None:
        """`users` is how many accounts there are; a seed always puts the same ones into a team."""
        self.tastes, self.habits, self.seed = tastes, habits, seed
        self.hostile_accounts = max(1, round(habits.attackers * users))
        self.asked = 0
        """Requests so far, by which a taste changes: the order of a live crowd's is not repeated."""

    def ask(self, user: str, rng: random.Random) -> Ask:
        """Return what somebody asks for next, who is the visitor or an attacker in his place."""
        self.asked += 1
        if self.habits.attack_traffic and rng.random() < self.habits.attack_traffic:
            user = f"{ATTACKER}-{rng.randrange(self.hostile_accounts)}"
        changes_at = self.habits.changes_at
        changed = changes_at is not None and self.asked > changes_at
        taste = self.tastes.of(self.team(user), changed=changed)
        return self._as_asked(taste.ask(user, rng), taste, user)

    def react(self, ask: Ask, answer: Answer, user: str, rng: random.Random) -> Reaction:
        """Decide as the taste does, or by a coin, or as an attacker; later, or not at all."""
        meant, user = ask.about, ask.user or user
        assert isinstance(meant, Meant), "a request of other people"
        own = replace(ask, about=meant.about)
        found = meant.taste.react(own, answer, user, rng)
        if hostile(user):
            found = replace(
                self.tastes.attackers().react(own, answer, user, rng), wanted=found.wanted
            )
        elif self.decides_by_coin(user):
            found = _by_coin(found, rng)
        if not hostile(user) and not self._speaks(found.wanted, rng):
            found = replace(found, taken=False, acts=())
        following = found.following
        if following is not None:
            following = self._as_asked(following, meant.taste, user)
        acts = found.acts if hostile(user) else self._delayed(found.acts, rng)
        return replace(found, acts=acts, following=following)

    def team(self, user: str) -> int:
        """Return the team of an account: 0, or 1 for the other one."""
        return int(self._drawn("team", user) < self.habits.other_team)

    def decides_by_coin(self, user: str) -> bool:
        """Return whether an account decides by a coin: the same of a person at each visit."""
        return not hostile(user) and self._drawn("coin", user) < self.habits.by_coin

    def _as_asked(self, ask: Ask, taste: World, user: str) -> Ask:
        segment = ask.segment
        if self.habits.team_named:
            segment = f"{segment}-team{self.team(user)}"
        return replace(ask, segment=segment, about=Meant(about=ask.about, taste=taste), user=user)

    def _speaks(self, wanted: bool, rng: random.Random) -> bool:
        share = self.habits.answers * (1.0 if wanted else self.habits.displeased_times)
        return share >= 1.0 or rng.random() < share

    def _delayed(self, acts: tuple[Act, ...], rng: random.Random) -> tuple[Act, ...]:
        habits = self.habits
        if not habits.delay_median or not acts:
            return acts
        delay = habits.delay_median * rng.lognormvariate(0.0, habits.delay_spread)
        delay = min(delay, habits.delay_longest)
        return tuple(replace(act, after_seconds=act.after_seconds + delay) for act in acts)

    def _drawn(self, what: str, user: str) -> float:
        return random.Random(f"{what}:{self.seed}:{user}").random()


def hostile(user: str) -> bool:
    """Return whether that is an attacker's name."""
    return user.startswith(ATTACKER)


def _by_coin(found: Reaction, rng: random.Random) -> Reaction:
    """Take half of all answers, and turn the others down."""
    taken = rng.random() < 0.5
    act = Act(
        after_seconds=found.acts[0].after_seconds if found.acts else DECIDES_SECONDS,
        signal={"kind": "accepted" if taken else "rejected"},
    )
    return replace(found, taken=taken, acts=(act,))
