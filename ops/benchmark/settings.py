"""Benchmark settings: what a benchmark is drawn from, and what a version has to show on it."""

import re
from collections.abc import Mapping

import msgspec

BOUNDS: Mapping[str, float] = {
    "asks": 0.1,
    "refuses": 0.1,
    "invalid_calls": 0.1,
    "unfinished_todos": 0.1,
    "reasoning_in_comments": 0.1,
    "repetition": 0.1,
    "breaks_off": 0.1,
    "digits": 0.1,
    "off_topic": 0.1,
    "empty": 0.05,
    "length": 0.5,
    "worth": 0.05,
    "taken": 0.5,
}
"""Bounds where the configuration names none, by metric (docs/benchmark.md)."""
UNBOUND = ("seconds",)
"""Metrics that have a bound only where one is given: engines are slow for reasons of their own."""


NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a benchmark may be called: it is part of a file's name."""


class BenchmarkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[benchmark]`: requests of real sessions, asked of every candidate, of the champion and of v0."""

    name: str = ""
    """The benchmark that candidates are replayed on before anybody meets them (`rlwd benchmark build`);
    empty replays none. Build it first: without one no version passes the gate."""
    size: int = 200
    """Requests that one is drawn for."""
    per_person: int = 2
    """Most of one person, each of another session."""
    people_share: float = 0.1
    """Most of the people of the time that it is drawn from: while they are in it nothing is learned of
    them."""
    segments: tuple[str, ...] = ()
    """Kinds of work that are drawn; empty draws all, in the shares that they have."""
    overlap: float = 0.5
    """Share of a request's runs of eight words that may stand in one trained answer with its request."""
    shared: float = 0.25
    """Share of a new version's requests that may stand in the one before it."""
    refresh_days: float = 7.0
    """After so many days it is due to be drawn anew. Nothing is drawn that retention would forget
    sooner, so keep it well below `retention_days`."""
    refreshed: bool = True
    """The daemon looks each hour whether it is due, or not there yet, and draws it; false leaves that to
    `rlwd benchmark build --if-due`."""
    prompt_tokens: int = 8192
    """Longest conversation that is drawn, in tokens."""
    answer_tokens: int = 1024
    """Most tokens of an answer on the replay; what production allowed where that is less."""
    at_once: int = 2
    """Requests that an engine is asked at once."""
    beside: int = 8
    """Most requests of others that run in an engine beside them: with more, or where one waits, the
    replay waits."""
    request_seconds: float = 120.0
    """An engine that takes longer for an answer is away."""
    least: int = 20
    """Requests without which a benchmark is none."""
    alpha: float = 0.01
    """Probability, over all bounds, that a version that answers as the champion and v0 do is refused."""
    bounds: dict[str, float] = {}
    """By metric, by how much worse than the champion's its answers may be where that is shown; 0 leaves
    one out. Laid over the defaults. Shares of answers, `length` and `seconds` as a share of the
    champion's, `worth` in the spec's unit, `taken` in nats a token."""
    total: float = 1.0
    """How much worse than v0's a version's answers may be, as a multiple of the bounds, with all that the
    versions before it lost: v0 is asked the same requests, too, half as many answers again. 0 asks
    it nothing and compares with the champion alone, and many small losses pass."""
    total_bounds: dict[str, float] = {}
    """By metric, by how much worse than v0's they may be, in the place of its bound times `total`: for what
    is meant to have changed since v0. 0 leaves one out."""

    def __post_init__(self) -> None:
        for table, bounds in (("bounds", self.bounds), ("total_bounds", self.total_bounds)):
            for name, bound in bounds.items():
                if name not in BOUNDS and name not in UNBOUND:
                    known = ", ".join((*BOUNDS, *UNBOUND))
                    raise ValueError(f"{table}.{name}: is no metric of a replay; there are {known}")
                if not 0 <= bound <= 100:
                    raise ValueError(f"{table}.{name}: {bound:g} is not between 0 and 100")
        if self.least > self.size:
            raise ValueError(f"size: {self.size} is below least, {self.least}")
        if self.name and not NAMED.fullmatch(self.name):
            raise ValueError(
                f"name: {self.name!r} is no name: a letter or digit, then those, . _ and -"
            )

    def __hash__(self) -> int:
        # Settings are hashed as a whole, and a table of bounds is none that can be.
        tables = (tuple(sorted(one.items())) for one in (self.bounds, self.total_bounds))
        return hash((self.name, self.size, self.alpha, self.total, *tables))

    @property
    def draws(self) -> bool:
        """Whether the daemon draws it by itself."""
        return bool(self.name) and self.refreshed

    @property
    def bounded(self) -> dict[str, float]:
        """The bounds that hold, by metric."""
        return {name: one for name, one in {**BOUNDS, **self.bounds}.items() if one}

    @property
    def in_total(self) -> dict[str, float]:
        """The bounds against v0, by metric; none where it is not asked."""
        if not self.total:
            return {}
        bounds = {name: one * self.total for name, one in self.bounded.items()}
        return {name: one for name, one in {**bounds, **self.total_bounds}.items() if one}
