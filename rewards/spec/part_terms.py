"""Part terms: the parts that count in a segment, and which of them an answer's signals leave to ask."""

from .reward import Part
from .term import Term

MOST_REMEMBERED = 1000
"""Sets of kinds of signal of which is remembered which parts read any of them."""


class PartTerms(tuple[Term, ...]):
    """The parts that count in a segment."""

    _asked: dict[frozenset[type], tuple[list[Part], list[tuple[int, Term]]]]

    def asked(self, came: frozenset[type]) -> tuple[list[Part], list[tuple[int, Term]]]:
        """Return all of them without a value, and by their places those that may have one.

        `came` are the kinds of an answer's signals: most parts read others.
        """
        try:
            return self._asked[came]
        except AttributeError:
            self._asked = {}
        except KeyError:
            if len(self._asked) >= MOST_REMEMBERED:
                self._asked.clear()
        self._asked[came] = found = (
            [Part(name=one.name, value=None, weight=one.weight) for one in self],
            [
                (place, one)
                for place, one in enumerate(self)
                if not (one.needs_signal and came.isdisjoint(one.kinds))
            ],
        )
        return found


def terms_by_segment(
    parts: tuple[Term, ...], costs: tuple[Term, ...]
) -> dict[str | None, tuple[PartTerms, tuple[Term, ...]]]:
    """Return which parts and costs count in each segment that one of them names; None is any other."""
    named: set[str | None] = {one for term in parts + costs for one in term.segments or ()}
    return {
        segment: (
            PartTerms(term for term in parts if term.applies(segment)),
            tuple(term for term in costs if term.applies(segment)),
        )
        for segment in (None, *named)
    }
