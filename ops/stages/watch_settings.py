"""Watch settings: how far a version's behaviour may drift while people reward it."""

from typing import Literal

import msgspec

from ...rewards.behaviours.behaviour import BEHAVIOURS

BARS = {
    "asks": 0.1,
    "refuses": 0.05,
    "invalid_calls": 0.05,
    "unfinished_todos": 0.1,
    "reasoning_in_comments": 0.05,
    "repetition": 0.1,
    "breaks_off": 0.1,
    "digits": 0.05,
    "empty": 0.05,
    "likeness": -0.15,
    "keep_rate": -0.1,
    "edit_rate": 0.15,
    "length": 0.5,
    "tools": 0.25,
    "phrases": 0.3,
}
"""Bars where the configuration names none, by behaviour: differences of rates against the reference."""
OTHERS = ("keep_rate", "edit_rate", "empty", "length", "tools", "phrases")
"""What is watched beside the behaviours."""


class WatchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[rollout.watch]`: a version whose reward is not shown to be down while a behaviour passes its bar is an alarm."""

    bars: dict[str, float] = {}
    """By behaviour, by how much its mean may rise above that of the reference; a bar below 0 says by
    how much it may fall, or half of the reference's where that is less; 0 leaves it out. Laid over the
    defaults. `length` is relative: 0.5 is half as long again. `tools` is the share of one tool among all
    calls, up or down; `phrases` the share of people who are told a new phrase: such an alarm is filed and
    holds nothing."""
    total: float = 1.0
    """How far a version and all before it may drift together, as a multiple of the bars: it is held against
    v0, too, or the last version that a person promoted over an alarm. Half of what was there is half,
    whatever the multiple. 0 compares with the version before it alone, and many small steps pass."""
    alpha: float = 0.05
    """Probability, over all looks and bars, that a version that behaves as the reference is alarmed at."""
    users: int = 30
    """Users on both sides from which on there may be an alarm."""
    planned_users: int = 300
    """Users at which the bounds are tightest."""
    seconds: float = 60.0
    """Time between two looks."""
    on_alarm: Literal["hold", "report"] = "hold"
    """Whether an alarm holds the rollout of a candidate, or is only filed."""
    on_doubt: Literal["wait", "promote"] = "wait"
    """Whether the promotion of a candidate waits while a behaviour is past its bar though that is not shown,
    so that more people are asked; at its deadline it ends without blame. Nothing waits where alarms are only
    filed."""

    def __post_init__(self) -> None:
        known = (*BEHAVIOURS, *OTHERS)
        for name, bar in self.bars.items():
            if name not in known:
                raise ValueError(f"bars.{name}: is no behaviour; there are {', '.join(known)}")
            if not -1 <= bar <= 10:
                raise ValueError(f"bars.{name}: {bar:g} is not between -1 and 10")
            if name in ("tools", "phrases", "length") and bar < 0:
                raise ValueError(f"bars.{name}: {bar:g} is below 0, and this one only rises")
        if not 0 <= self.total <= 10:
            raise ValueError(f"total: {self.total:g} is not between 0 and 10")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha: {self.alpha:g} must lie between 0 and 1")
        if min(self.users, self.planned_users) < 2 or not self.seconds > 0:
            raise ValueError("users and planned_users must be at least 2, and seconds above 0")

    def __hash__(self) -> int:
        # Settings are hashed as a whole, and a table of bars is none that can be.
        bars = tuple(sorted(self.bars.items()))
        return hash((bars, self.total, self.alpha, self.users, self.on_alarm, self.on_doubt))

    @property
    def watched(self) -> dict[str, float]:
        """The bars that hold, by name."""
        return {name: bar for name, bar in {**BARS, **self.bars}.items() if bar}

    @property
    def comparisons(self) -> int:
        """Comparisons of one version in its life: as candidate and champion, each with its references."""
        return 4 if self.total else 2

    @property
    def in_total(self) -> "WatchSettings":
        """The same, with bars for all steps together; phrases are told only between versions of one time."""
        bars = {name: max(-1.0, min(10.0, bar * self.total)) for name, bar in self.watched.items()}
        none = dict.fromkeys(BARS, 0.0)
        return msgspec.structs.replace(self, bars={**none, **bars, "phrases": 0.0})

    def watches(self, behaviour: str) -> bool:
        """Return whether an alarm's behaviour is one that still has a bar; `tools:NAME` is of `tools`."""
        if behaviour.startswith("total:") and not self.total:
            return False
        name = behaviour.removeprefix("replay:").removeprefix("total:")
        return name.partition(":")[0] in self.watched

    @property
    def measured(self) -> tuple[str, ...]:
        """Behaviours that have to be measured for them."""
        return tuple(name for name in self.watched if name in BEHAVIOURS)
