"""Term: one part or cost of a spec, as the file weighs it and as an episode is asked by it."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec

from ...streams.events.episode import AttributionRule, Episode
from .attribution_rules import OverChain, rule_of
from .registry import COST_PLACE, NEEDS_NO_SIGNAL, PART_KINDS, Kinds, Place, Value, find
from .spec_checks import check_finite_seconds, check_interval

Seconds = Annotated[float, msgspec.Meta(ge=0.0)]
Weight = Annotated[float, msgspec.Meta(ge=1e-9, le=1e9)]
"""Within what sums, products and quotients of weights, scales and clips are exact enough to mean anything."""


class PartTable(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """`[parts.NAME]`: a part with more than a weight. `NAME = 1.0` is a table with `weight` alone."""

    weight: Weight
    """How much it counts beside the other parts."""
    clip: tuple[float, float] | None = None
    """Lowest and highest value that counts; beyond them it counts as these."""
    segments: tuple[str, ...] | None = None
    """Segments in which it counts; all where left out."""
    horizon: Seconds | None = None
    """Seconds after the generation for which signals count for it; as `[horizons]` has it for each
    kind where left out."""
    of: str = ""
    """The function behind it, where the key is a name of your own."""
    options: dict[str, Any] = {}
    """What the function takes besides the episode."""


class CostTable(PartTable, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[costs.NAME]`: what is taken off: weight times value over scale. Clips are in its unit."""

    scale: Weight = 1.0
    """How much of its unit counts as 1."""
    over: OverChain | None = None
    """Taken once of what all answers of the chain took together, and charged to each of them; of the
    answer alone where left out."""


OVER_CHAIN = ("effort",)
"""Costs that may be taken over a chain: amounts add up over its answers."""


class Term(NamedTuple):
    """One part or cost, ready to be asked."""

    name: str
    """Its key in the spec."""
    of: str
    """Name of the function behind it."""
    value: Value
    """The function itself."""
    distribution: str
    """The installed distribution that it is of; empty for a built-in one."""
    weight: float
    """As in the spec."""
    clip: tuple[float, float] | None
    """Likewise."""
    segments: tuple[str, ...] | None
    """Likewise."""
    horizon: float | None
    """Likewise."""
    scale: float
    """1 for a part."""
    kinds: Kinds
    """Kinds of signal that it reads; none for a cost, and where that is not known."""
    needs_signal: bool
    """Whether it has no value where no signal of these kinds came, and need not be asked."""
    over: AttributionRule | None = None
    """How a cost that is taken over a chain is charged to its answers; None for one of an answer."""

    def applies(self, segment: str | None) -> bool:
        """Return whether it counts in a segment."""
        return self.segments is None or segment in self.segments

    def seen(self, episode: Episode, counted: Episode) -> Episode:
        """Return the episode with the feedback that counts for it: by its own horizon where it has one."""
        return counted if self.horizon is None else within(episode, self.horizon)

    def natural(self, episode: Episode, counted: Episode) -> float | None:
        """Return its value of an episode as the function says it, in its own unit."""
        seen = self.seen(episode, counted)
        if seen.chain is not None and self.over is None:
            seen = msgspec.structs.replace(seen, chain=None)
        return self.value(seen)

    def weight_in(self, episode: Episode) -> float:
        """Return its weight in an episode's reward: less, at a discount, the farther from the chain's end."""
        if self.over is None or episode.chain is None:
            return self.weight
        return self.weight * self.over.weight(episode.chain.steps)

    def ask(self, episode: Episode, counted: Episode) -> float | None:
        """Return its value of an episode, clipped and scaled.

        `counted` is the episode with the feedback within the horizons of its kinds.
        """
        value = self.natural(episode, counted)
        if value is None:
            return None
        if self.clip is not None:
            low, high = self.clip
            value = low if value < low else min(value, high)
        return value / self.scale


def within(episode: Episode, seconds: float) -> Episode:
    """Return an episode with the feedback received so many seconds after the answer, or sooner."""
    until = episode.received_at + seconds
    return msgspec.structs.replace(
        episode, feedback=tuple([one for one in episode.feedback if one.received_at <= until])
    )


def within_kinds(episode: Episode, limits: Mapping[type, float], usual: float) -> Episode:
    """Return an episode with the feedback that came within so many seconds, by its kind."""
    since = episode.received_at
    for one in episode.feedback:
        if one.received_at - since > limits.get(type(one.feedback.signal), usual):
            break
    else:
        return episode
    counted = [
        one
        for one in episode.feedback
        if one.received_at - since <= limits.get(type(one.feedback.signal), usual)
    ]
    return msgspec.structs.replace(episode, feedback=tuple(counted))


def make_terms(place: Place, given: Mapping[str, float | PartTable]) -> tuple[Term, ...]:
    """Return the terms that a spec gives; raises ValueError with the path of what is wrong."""
    return tuple([_term(place, name, table) for name, table in given.items()])


def _term(place: Place, name: str, given: float | PartTable) -> Term:
    key = f"$.{place.key}.{name}"
    table = given if isinstance(given, PartTable) else PartTable(weight=given)
    scale = table.scale if isinstance(table, CostTable) else 1.0
    if table.horizon is not None:
        check_finite_seconds(f"{key}.horizon", table.horizon)
    if table.clip is not None:
        check_interval(f"{key}.clip", table.clip)
        if table.clip[0] < 0.0 or (place is not COST_PLACE and table.clip[1] > 1.0):
            within_what = "at least 0" if place is COST_PLACE else "in [0, 1]"
            raise ValueError(f"{key}.clip: {list(table.clip)} is not {within_what}")
    if table.segments is not None and not table.segments:
        raise ValueError(f"{key}.segments: is empty; leave it out where all segments count")
    of = table.of or name
    over = table.over if isinstance(table, CostTable) else None
    if over is not None and of.partition("@")[0] not in OVER_CHAIN:
        known = ", ".join(OVER_CHAIN)
        raise ValueError(f"{key}.over: {of} is of one answer; over a chain there are: {known}")
    found = find(place, key, of, table.options, under="of" if table.of else "")
    base = of.partition("@")[0]
    kinds = PART_KINDS.get(base, ()) if place is not COST_PLACE and not found.distribution else ()
    return Term(
        name,
        of,
        *found,
        table.weight,
        table.clip,
        table.segments,
        table.horizon,
        scale,
        kinds,
        bool(kinds) and base not in NEEDS_NO_SIGNAL,
        None if over is None else rule_of(over),
    )
