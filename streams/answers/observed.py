"""Observed answers: every answer of a time with what was done about it, in one pass, without anybody's words."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import msgspec

from ..events.generation import SHADOW, SIDE
from ..state.transaction import Transaction
from .answer_rows import LATEST, NAMED

AT_ONCE = 5000
"""Answers read in one view: a long one would keep the daemon's write-ahead log from being emptied."""


class ObservedSignal(msgspec.Struct, frozen=True, gc=False):
    """What of a signal is looked at: its kind, and how it points; no text."""

    kind: str
    """As on the wire; a kind that this build does not know is `unknown_signal`."""
    fraction: float | None = None
    """Of `kept`."""
    horizon_seconds: float | None = None
    """Of `kept`."""
    value: float | None = None
    """Of `rated`, `outcome`, `measured` and `judged`."""
    passed: bool | None = None
    """Of `checked`."""
    error_class: str | None = None
    """Of `tool_result`."""
    direction: str | None = None
    """Of `judged`."""
    found: tuple[str, ...] = ()
    """Of `judged`."""


class _Said(msgspec.Struct, gc=False):
    """What of a feedback is looked at."""

    feedback_id: str
    signal: ObservedSignal
    replaces: str | None = None
    actor: str = "person"


class ObservedAct(msgspec.Struct, frozen=True, gc=False):
    """One thing that was done about an answer."""

    act: ObservedSignal
    """What."""
    acted: float
    """When, epoch seconds: never before the answer, nor after its own receipt."""
    person: bool
    """Whether a person did it, and neither an agent nor a system."""
    own: bool
    """Whether it is counted with this answer: what was said of a whole chain is with the last of it alone."""


class ObservedAnswer(msgspec.Struct, frozen=True, gc=False):
    """One answer that somebody was given."""

    generation_id: str
    """Its name."""
    received: float
    """Epoch seconds."""
    tenant: str
    """To whom it was served."""
    session: str
    """Its session's name; empty where that was not kept."""
    segment: str
    """Kind of work."""
    user: str
    """Hashed user; empty where the product named none."""
    side: bool
    """Whether a harness asked for it on its own."""
    link: str
    """By what it goes on from an earlier answer, as in `link.py`; empty where it does not."""
    latency: float | None
    """Seconds to its last byte."""
    tokens: int | None
    """Tokens written; None where it failed or nobody counted."""
    prompt_tokens: int | None
    """Tokens read; likewise."""
    tool_calls: int | None
    """Calls of tools in it; likewise."""
    reward: float | None
    """With all feedback so far; None where nobody decided."""
    parts: bytes | None
    """The reward's parts, JSON: name to value and weight."""
    fate: str
    """As in `fate.py`."""
    content: int | None
    """Where its record is; None where it is not held."""
    acts: tuple[ObservedAct, ...] = ()
    """What was done about it, in the order of the acts."""
    numbers: Mapping[str, float] = {}
    """The product's own numbers of it."""


_COLUMNS = (
    f"generation_id, received, COALESCE(tenant, ''), COALESCE(session_id, ''), COALESCE(segment, ''),"
    f" CASE WHEN {NAMED} THEN user_hash ELSE '' END, CASE WHEN variant = '{SIDE}' THEN 1 ELSE 0 END,"
    f" link, latency, tokens, prompt_tokens, tool_calls, {LATEST}, parts, fate, content"
)
_SAID = msgspec.json.Decoder(_Said)
_STEPS = msgspec.json.Decoder(dict[str, Any])
Opened = Callable[[], AbstractContextManager[Transaction]]


def observed_answers(
    opened: Opened, policy: str, since: float, until: float, at_once: int = AT_ONCE
) -> Iterator[list[ObservedAnswer]]:
    """Yield answers received from `since` on and before `until`, some at a time, each time in a view of its own.

    `opened` opens a view. Mirrored answers, which nobody was shown, are left out. Answers are in the
    order of their ids, so that rows and feedback are each read once and in order.
    """
    after = ""
    while True:
        with opened() as view:
            rows = view.execute(
                f"SELECT {_COLUMNS} FROM episodes WHERE policy = ? AND generation_id > ?"
                f" AND received >= ? AND received < ? AND COALESCE(variant, '') <> '{SHADOW}'"
                " ORDER BY generation_id LIMIT ?",
                (policy, after, since, until, at_once),
            ).fetchall()
            if not rows:
                return
            among = (policy, after, rows[-1][0])
            acts, numbers = _acts(view, among), _numbers(view, among)
        after = rows[-1][0]
        yield [_observed(row, acts.get(row[0], ()), numbers.get(row[0], {})) for row in rows]


def _observed(
    row: Sequence[Any], said: Sequence[Any], numbers: Mapping[str, float]
) -> ObservedAnswer:
    name, received, tenant, session, segment, user, side, *rest = row
    acts = sorted(
        (
            ObservedAct(signal, min(max(acted, received), heard), person, own)
            for signal, acted, heard, person, own in said
        ),
        key=lambda one: one.acted,
    )
    # Without a part in garbage collection, as all that is kept by the hundred thousand here.
    new: Callable[..., ObservedAnswer] = ObservedAnswer
    return new(
        *(name, received, tenant, session, segment, user, bool(side)), *rest, tuple(acts), numbers
    )


def _acts(view: Transaction, among: Sequence[Any]) -> dict[str, list[Any]]:
    """Return what was done about the answers of a range of ids, without what something else replaces."""
    found = defaultdict[str, list[tuple[_Said, float, float, bool]]](list)
    rows = view.execute(
        "SELECT generation_id, acted, received, attribution, spread_of, payload FROM feedback"
        " WHERE policy = ? AND generation_id > ? AND generation_id <= ? AND dead = 0",
        among,
    ).fetchall()
    for name, acted, heard, attribution, spread, payload in rows:
        own = spread is None and (attribution is None or _is_last(attribution))
        found[name].append((_SAID.decode(payload), acted, heard, own))
    return {
        name: [
            (one.signal, acted, heard, one.actor == "person", own)
            for one, acted, heard, own in said
            if one.feedback_id not in replaced
        ]
        for name, said in found.items()
        for replaced in [{o.replaces for o, *_ in said if o.replaces not in (None, o.feedback_id)}]
    }


def _is_last(attribution: str) -> bool:
    """Return whether feedback on a chain stands with the last answer of it."""
    told = _STEPS.decode(attribution)
    return not (told.get("steps") or told.get("through") or told.get("of"))


def _numbers(view: Transaction, among: Sequence[Any]) -> dict[str, dict[str, float]]:
    found = defaultdict[str, dict[str, float]](dict)
    rows = view.execute(
        "SELECT generation_id, name, COALESCE(later, served) FROM own_numbers"
        " WHERE policy = ? AND generation_id > ? AND generation_id <= ?",
        among,
    ).fetchall()
    for name, what, value in rows:
        if value is not None:
            found[name][what] = value
    return found


def started_elsewhere(
    view: Transaction, policy: str, since: float, until: float
) -> list[tuple[str, str, str]]:
    """Return sessions that another one started: tenant, the session, and the one that it works for.

    A subagent's, and one that goes on from another's summary: both are of one piece of work.
    """
    rows = view.execute(
        "SELECT DISTINCT c.tenant, c.session_id, p.session_id FROM episodes c"
        " JOIN episodes p ON p.policy = c.policy AND p.generation_id = c.parent_id"
        " WHERE c.policy = ? AND c.link IN ('subagent', 'summary') AND c.received >= ?"
        " AND c.received < ? AND c.session_id <> p.session_id ORDER BY 1, 2, 3",
        (policy, since, until),
    ).fetchall()
    return [(tenant or "", child, parent) for tenant, child, parent in rows]


def received_between(view: Transaction, policy: str, before: float) -> tuple[float, float] | None:
    """Return when the oldest and the newest answer before a time were received; None where there is none."""
    row = view.execute(
        "SELECT MIN(received), MAX(received) FROM episodes WHERE policy = ? AND received < ?",
        (policy, before),
    ).fetchone()
    return None if row[0] is None else (float(row[0]), float(row[1]))


def largest_segments(
    view: Transaction, policy: str, since: float, until: float, most: int
) -> list[str]:
    """Return the kinds of work with the most answers in a time, the largest first.

    Callers name them, and may name a new one for each request. Side and mirrored requests do not count.
    """
    rows = view.execute(
        "SELECT COALESCE(segment, ''), COUNT(*) FROM episodes WHERE policy = ? AND received >= ?"
        f" AND received < ? AND COALESCE(variant, '') NOT IN ('{SHADOW}', '{SIDE}') GROUP BY 1"
        " ORDER BY 2 DESC, 1 LIMIT ?",
        (policy, since, until, most),
    ).fetchall()
    return [str(segment) for segment, _ in rows]


class EarlierCount(NamedTuple):
    """What a segment had in a time before."""

    answers: int = 0
    """Answers to people."""
    users: int = 0
    """Of them, named ones, each once."""


def earlier_counts(
    view: Transaction, policy: str, since: float, until: float
) -> dict[str, EarlierCount]:
    """Return how many answers and people each segment had in a time; without side and mirrored requests."""
    rows = view.execute(
        f"SELECT COALESCE(segment, '') AS kind, COUNT(*), COUNT(DISTINCT CASE WHEN {NAMED}"
        " THEN user_hash END) FROM episodes WHERE policy = ? AND received >= ? AND received < ?"
        f" AND COALESCE(variant, '') NOT IN ('{SHADOW}', '{SIDE}') GROUP BY kind",
        (policy, since, until),
    ).fetchall()
    return {segment: EarlierCount(answers, users) for segment, answers, users in rows}
