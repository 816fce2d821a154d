"""Read week: the answers of a time, each segment's tallied in one pass; nothing is written and no text is read."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...ops.workload.merged import all_together, segments_of_sessions, with_started
from ...ops.workload.tally import SeenTime, SegmentTally
from ...ops.workload.verdicts import DecisiveNames
from ...rewards.spec.spec import Spec
from ...streams.answers.observed import (
    EarlierCount,
    earlier_counts,
    largest_segments,
    observed_answers,
    received_between,
    started_elsewhere,
)
from ...streams.join import offsets
from ...streams.state.transaction import Transaction
from ..rewards.held_answers import readable, state_name

EARLY = 86400.0
"""Seconds within which the first answer may come of a time that is taken as seen whole."""
MOST_SEGMENTS, OTHERS = 50, "(others)"
"""Segments that are told apart, those with the most answers, and the name of all further ones together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """What was seen."""

    seen: SeenTime
    """When; from the first answer on where it began within the time asked for."""
    segments: Mapping[str, SegmentTally]
    """By segment, in the order of their names."""
    whole: SegmentTally
    """All of them together."""
    before: Mapping[str, EarlierCount] | None
    """By segment, of a time as long before; None where that was not seen whole."""


def read_week(
    place: Path | str, policy: str, since: float, until: float, spec: Spec, told: str = ""
) -> Week:
    """Tally the answers received from `since` on and before `until`, epoch seconds.

    The time ends where the log was read to, or a recording ends, where that is before `until`. Raises
    ValueError where there is no state database, an older rlwd left it, or it holds no answer of that
    time; `told` is what it is called there, its own name where empty.
    """
    opened, decides = partial(readable, place), DecisiveNames(spec.decisive)
    with opened() as view:
        seen = _seen(view, policy, since, until)
        apart = frozenset(largest_segments(view, policy, since, until, MOST_SEGMENTS))
    nothing = ValueError(f"{told or state_name(place)}: holds no answer of the time asked for")
    if seen is None:
        raise nothing
    tallies = defaultdict[str, SegmentTally](SegmentTally)
    for page in observed_answers(opened, policy, since, until):
        for one in page:
            name = one.segment if one.segment in apart else OTHERS
            tallies[name].add(one, seen, decides, spec.decision_seconds(one.segment))
    if not tallies:
        raise nothing
    with opened() as view:
        started = started_elsewhere(view, policy, since, until)
        before = _before(view, policy, seen)
    for tally in tallies.values():
        with_started(tally, started)
    whole, several = all_together(tallies.values()), segments_of_sessions(tallies)
    for tally in (whole, *tallies.values()):
        for key in several.keys() & tally.sessions.keys():
            tally.sessions[key].switches += several[key] - 1
    return Week(seen=seen, segments=dict(sorted(tallies.items())), whole=whole, before=before)


def _seen(view: Transaction, policy: str, since: float, until: float) -> SeenTime | None:
    """Return the time that answers were looked for in; None where there are none."""
    known = received_between(view, policy, until)
    if known is None:
        return None
    oldest, newest = known
    begin = max(since, oldest)
    # A recording was read to no time of its own.
    mark = offsets.watermark(view, policy) or newest
    end = min(until, mark)
    return SeenTime(begin, max(end, begin + 1.0))


def _before(view: Transaction, policy: str, seen: SeenTime) -> dict[str, EarlierCount] | None:
    """Return what a time as long had before; None where the first answer came within that time."""
    since = seen.begin - (seen.end - seen.begin)
    if received_between(view, policy, since + EARLY) is None:
        return None
    return earlier_counts(view, policy, since, seen.begin)
