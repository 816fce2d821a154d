"""Merged tallies: segments together, and sessions with those that they started."""

from collections.abc import Iterable, Mapping, Sequence

from .tally import SegmentTally

_SUMS = (
    *("answers", "side", "uncounted", "unnamed", "read", "written", "matured"),
    *("matured_decided", "decided", "reward", "taken", "acted_on", "hasty", "first_taken"),
    *("taken_back", "edits", "left", "keeps", "kept"),
)
_COUNTS = ("kept_out", "kinds", "deciding", "later")


def with_started(tally: SegmentTally, started: Sequence[tuple[str, str, str]]) -> None:
    """Put the sessions that another one started into that one; of both only what is in this tally.

    `started` are tenant, session and the one that it works for, in any depth.
    """
    above = {(tenant, child): (tenant, parent) for tenant, child, parent in started}
    for child in sorted(above.keys() & tally.sessions.keys()):
        root, met = child, {child}
        while (parent := above.get(root)) is not None and parent not in met:
            met.add(parent)
            root = parent
        if root == child:
            continue
        session = tally.sessions.pop(child)
        if root in tally.sessions:
            tally.sessions[root].merge(session)
        else:
            tally.sessions[root] = session


def all_together(tallies: Iterable[SegmentTally]) -> SegmentTally:
    """Return the tally of all segments; that of each stays as it is, and a single one is it."""
    given = list(tallies)
    if len(given) == 1:
        return given[0]
    whole = SegmentTally()
    for one in given:
        for name in _SUMS:
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
        for name in _COUNTS:
            getattr(whole, name).update(getattr(one, name))
        whole.delays.extend(one.delays)
        whole.pauses.extend(one.pauses)
        for user, person in one.people.items():
            mine = whole.people[user]
            mine.days |= person.days
            mine.decided_days |= person.decided_days
            mine.count += person.count
            mine.total += person.total
            mine.squares += person.squares
        for key, session in one.sessions.items():
            known = whole.sessions.setdefault(key, type(session)(session.first))
            tokens = known.tokens, session.tokens
            known.merge(session)
            # Turns of one conversation in two segments are one sequence.
            known.begun = max(tokens)
        for what, (count, total) in one.numbers.items():
            whole.numbers[what][0] += count
            whole.numbers[what][1] += total
    return whole


def segments_of_sessions(tallies: Mapping[str, SegmentTally]) -> dict[tuple[str, str], int]:
    """Return of each session of more than one segment how many it has."""
    found: dict[tuple[str, str], int] = {}
    for one in tallies.values():
        for key in one.sessions:
            found[key] = found.get(key, 0) + 1
    return {key: count for key, count in found.items() if count > 1}
