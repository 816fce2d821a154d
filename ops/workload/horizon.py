"""Horizon: how many steps a piece of work has, and how long after an answer one knows what it was worth."""

import msgspec

from .figures import growth, quantile, share
from .tally import SeenTime, SegmentTally
from .volume import LEAST_DAYS


class HorizonFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How long the work is. A session's subagents, and what it went on in after a summary, belong to it."""

    sessions: int
    """Sessions, as recorded."""
    turns: float | None
    """Answers a session, on average."""
    turns_p90: float | None
    """Of nine in ten sessions."""
    tool_calls: float | None
    """Calls of tools a session, on average."""
    switches: float | None
    """Switches of context a session: subagents, summaries, changes of subject that were read, and
    segments beyond the first."""
    steps: float | None
    """All three together, on average."""
    steps_p90: float | None
    """Of nine in ten sessions."""
    growth_turns: float | None
    """Answers a session in the second half of the time over the first, less 1; None below two days, and where
    no session began in one of them."""
    decision_seconds: float
    """How long an answer waits for its decision, by the reward spec."""


def horizon_of(tally: SegmentTally, seen: SeenTime, decision_seconds: float) -> HorizonFacts:
    """Return the horizon of a tally."""
    sessions = list(tally.sessions.values())
    steps = [float(one.answers + one.calls + one.switches) for one in sessions]
    middle = (seen.begin + seen.end) / 2
    halves: list[list[int]] = [[], []]
    for one in sessions:
        halves[one.first >= middle].append(one.answers)
    means = [sum(half) / len(half) if half else 0.0 for half in halves]
    return HorizonFacts(
        sessions=len(sessions),
        turns=share(tally.answers, len(sessions)),
        turns_p90=quantile([float(one.answers) for one in sessions], 0.9),
        tool_calls=share(sum(one.calls for one in sessions), len(sessions)),
        switches=share(sum(one.switches for one in sessions), len(sessions)),
        steps=share(sum(steps), len(sessions)),
        steps_p90=quantile(steps, 0.9),
        growth_turns=growth(*means) if seen.days >= LEAST_DAYS and all(halves) else None,
        decision_seconds=decision_seconds,
    )
