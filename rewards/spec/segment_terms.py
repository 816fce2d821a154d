"""Segment terms: the parts and costs that count in a segment, and what is asked of which of its answers.

A poll scores thousands of answers, and most parts read signals that most answers never get. What a set
of kinds of signal leaves to ask, and the JSON of what it does not, are worked out once for it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ...streams.events.episode import Episode, Timed
from .registry import Value
from .reward import Part
from .term import Term

MOST_REMEMBERED = 1000
"""Sets of kinds of signal of which is remembered what they leave to ask."""

_ENCODE = msgspec.json.Encoder().encode


class Plain(NamedTuple):
    """What an answer is worth whose parts and costs weigh as the spec says, before its range."""

    mean: float | None
    """The weighted mean of the known parts; None where none is known."""
    off: float | None
    """What the known costs take off; None where no cost counts in the segment."""
    told: bytes
    """All of them with their weights, as `scorer.encode_reward` writes them."""


class TermPlan:
    """What is asked of answers of a segment on which signals of the same kinds came."""

    __slots__ = ("_told", "asked", "costs", "unasked")

    def __init__(self, parts: Sequence[Term], costs: Sequence[Term], came: frozenset[type]) -> None:
        places = [
            place
            for place, one in enumerate(parts)
            if not (one.needs_signal and came.isdisjoint(one.kinds))
        ]
        self.unasked = [Part(name=one.name, value=None, weight=one.weight) for one in parts]
        """All parts without a value."""
        self.asked = [(place, _bare(parts[place]), parts[place]) for place in places]
        """Those that may have one: place, the function where nothing but it is asked, and the term."""
        self.costs = [(_bare(one), one) for one in costs]
        """The costs, likewise."""
        rows = [
            (one.name, "%b" if place in places else "null", one.weight)
            for place, one in enumerate(parts)
        ]
        rows += [(one.name, "%b", -one.weight) for one in costs]
        self._told = b"{%b}" % b",".join([_row(*one) for one in rows])

    def plain(self, episode: Episode, counted: Episode) -> Plain:
        """Return what an answer is worth of which no feedback is on its chain, nor any cost over it."""
        values: list[float | None] = []
        total = weights = 0.0
        for _, bare, term in self.asked:
            value = term.ask(episode, counted) if bare is None else bare(counted)
            values.append(value)
            if value is not None:
                total += value * term.weight
                weights += term.weight
        off: list[float] = []
        for bare, term in self.costs:
            value = term.ask(episode, counted) if bare is None else bare(counted)
            values.append(value)
            if value is not None:
                off.append(value * term.weight)
        told = self._told % tuple(_ENCODE(values)[1:-1].split(b",")) if values else self._told % ()
        return Plain(total / weights if weights else None, sum(off) if self.costs else None, told)


class SegmentTerms:
    """The parts and costs that count in a segment, in the spec's order."""

    def __init__(self, parts: Sequence[Term], costs: Sequence[Term]) -> None:
        self.parts, self.costs = tuple(parts), tuple(costs)
        self._plans: dict[type | frozenset[type], TermPlan] = {}

    def plan(self, feedback: Sequence[Timed]) -> TermPlan:
        """Return what is asked of an answer with this feedback."""
        came: type | frozenset[type] = (
            type(feedback[0].feedback.signal)
            if len(feedback) == 1
            else frozenset([type(one.feedback.signal) for one in feedback])
        )
        found = self._plans.get(came)
        if found is None:
            if len(self._plans) >= MOST_REMEMBERED:
                self._plans.clear()
            kinds = came if isinstance(came, frozenset) else frozenset((came,))
            found = self._plans[came] = TermPlan(self.parts, self.costs, kinds)
        return found


def terms_by_segment(
    parts: Sequence[Term], costs: Sequence[Term]
) -> dict[str | None, SegmentTerms]:
    """Return which parts and costs count in each segment that one of them names; None is any other."""
    named: set[str | None] = {one for term in (*parts, *costs) for one in term.segments or ()}
    return {
        segment: SegmentTerms(
            [term for term in parts if term.applies(segment)],
            [term for term in costs if term.applies(segment)],
        )
        for segment in (None, *named)
    }


def _bare(term: Term) -> Value | None:
    """Return a term's function, where `Term.ask` does no more than call it."""
    bare = term.clip is None and term.horizon is None and term.scale == 1.0
    return term.value if bare and not term.distribution else None


def _row(name: str, value: str, weight: float) -> bytes:
    # A name may hold a percent sign, and stands in what `%` fills in.
    key = _ENCODE(name).replace(b"%", b"%%")
    return b"%b:[%b,%b]" % (key, value.encode(), _ENCODE(weight))
