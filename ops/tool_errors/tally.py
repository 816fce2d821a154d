"""Tally: what came back from tools, counted once from the feedback that the join has taken in."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ...streams.derived.overruled import without_overruled
from ...streams.events.event import Feedback
from ...streams.events.limits import NAME_BYTES
from ...streams.events.signals import ToolResult
from ...streams.join.episodes_table import feedback_of
from ...streams.join.retention import KIND_BYTES
from ...streams.state.bulk import by_ids
from ...streams.state.transaction import Transaction
from .blame import WORKED
from .calls_table import BUCKET, CallCount

ROWS_AT_ONCE = 2_000
"""Most results that one transaction counts."""
_TAKEN = "COALESCE(taken, received)"
"""In this order results are counted: receive times may be late, or those of a clock that is ahead."""
MOST_SEARCHED = 100_000
"""Newest results among which the failures of one tool are looked for."""


class _Called(msgspec.Struct, frozen=True):
    """What `without_overruled` has to know of an answer whose content may be gone."""

    generation_id: str
    tool_calls: tuple[Any, ...] = ()


def next_window(tx: Transaction, policy: str, after: float, until: float) -> float:
    """Return where the next piece to count ends: few enough results, and none of one poll cut."""
    row = tx.execute(
        f"SELECT {_TAKEN} FROM feedback WHERE policy = ? AND kind = 'tool_result'"
        f" AND {_TAKEN} > ? AND {_TAKEN} <= ? ORDER BY {_TAKEN} LIMIT 1 OFFSET ?",
        (policy, after, until, ROWS_AT_ONCE),
    ).fetchone()
    return until if row is None else float(row[0])


class EndedCall(NamedTuple):
    """One call of a tool, as it ended."""

    generation_id: str
    """The answer that made it."""
    version: str
    """Version that gave that; empty where the product did not say."""
    began: int
    """Start of the bucket in which its result was received, epoch seconds."""
    tool: str
    """Name of the tool."""
    error_class: str
    """As in the signal; empty where it worked."""


def ended_calls(tx: Transaction, policy: str, after: float, until: float) -> list[EndedCall]:
    """Return the calls whose results were taken in meanwhile, by the ids of their answers.

    What was received later than it was taken in counts as received then: its writer's clock is ahead.
    Posted results win over derived ones, as in the rewards. What the content of an answer would
    add, that a posted success names a call which did not parse, is left out: content may be gone. So are
    results that retention has emptied.
    """
    rows = tx.execute(
        f"SELECT generation_id, feedback_id, {_TAKEN} FROM feedback"
        f" WHERE policy = ? AND kind = 'tool_result' AND {_TAKEN} > ? AND {_TAKEN} <= ? AND dead = 0"
        " AND LENGTH(payload) > ? ORDER BY generation_id",
        (policy, after, until, KIND_BYTES),
    ).fetchall()
    taken = {tuple(names): float(at) for *names, at in rows}
    ids = list(dict.fromkeys(name for name, *_ in rows))
    versions = _versions(tx, policy, ids)
    found = list[EndedCall]()
    for name, timed in feedback_of(tx, policy, ids).items():
        if name not in versions:
            continue
        for one in without_overruled(_Called(name), timed):
            said = one.feedback
            at = taken.get((name, said.feedback_id))
            if isinstance(said.signal, ToolResult) and at is not None:
                began = int(min(one.received_at, at) // BUCKET) * BUCKET
                ended = said.signal.error_class or WORKED
                found.append(EndedCall(name, versions[name], began, _held(said.signal.tool), ended))
    return found


def count_results(tx: Transaction, policy: str, after: float, until: float) -> list[CallCount]:
    """Return how the calls ended whose results were taken in meanwhile, by when they were received."""
    found = Counter(
        (one.began, one.tool, one.version, one.error_class)
        for one in ended_calls(tx, policy, after, until)
    )
    return [CallCount(*key, calls) for key, calls in found.items()]


def failed_answers(
    view: Transaction,
    policy: str,
    tool: str,
    version: str,
    error_class: str,
    since: float,
    most: int,
) -> tuple[str, ...]:
    """Return answers whose call of a tool failed in this way since then, newest first.

    `version` is empty for those of any.
    """
    found: dict[str, None] = {}
    decode = msgspec.json.Decoder(Feedback).decode
    for begin in range(0, MOST_SEARCHED, ROWS_AT_ONCE):
        rows = view.execute(
            "SELECT generation_id, payload FROM feedback WHERE policy = ? AND kind = 'tool_result'"
            f" AND {_TAKEN} > ? AND dead = 0 ORDER BY {_TAKEN} DESC, received DESC LIMIT ? OFFSET ?",
            (policy, since, ROWS_AT_ONCE, begin),
        ).fetchall()
        failed = list[str]()
        for name, payload in rows:
            # Most results are other tools', or worked: they are not worth decoding.
            if error_class.encode() in bytes(payload):
                signal = decode(payload).signal
                assert isinstance(signal, ToolResult)
                if (_held(signal.tool), signal.error_class) == (tool, error_class):
                    failed.append(name)
        versions = _versions(view, policy, list(dict.fromkeys(failed)))
        found |= dict.fromkeys(
            name for name in failed if name in versions and version in ("", versions[name])
        )
        if len(found) >= most or len(rows) < ROWS_AT_ONCE:
            break
    return tuple(found)[:most]


def answers_that_called(view: Transaction, policy: str, tool: str, ids: Sequence[str]) -> set[str]:
    """Return those of these answers on which something came back from a tool of this name."""
    decode, found = msgspec.json.Decoder(Feedback).decode, set[str]()
    for marks, chunk in by_ids(list(ids)):
        rows = view.execute(
            "SELECT generation_id, payload FROM feedback WHERE policy = ?"
            f" AND generation_id IN ({marks}) AND kind = 'tool_result' AND dead = 0"
            # Of shorter ones the kind alone is left: what was said is forgotten.
            " AND LENGTH(payload) > ?",
            (policy, *chunk, KIND_BYTES),
        )
        for name, payload in rows.fetchall():
            signal = decode(payload).signal
            assert isinstance(signal, ToolResult)
            if _held(signal.tool) == tool:
                found.add(name)
    return found


def _held(tool: str) -> str:
    """Return a tool's name as a column of an index holds it: no NUL, and not longer than other names."""
    return tool.replace("\0", "\ufffd").encode()[:NAME_BYTES].decode(errors="ignore")


def _versions(tx: Transaction, policy: str, ids: list[str]) -> dict[str, str]:
    """Return the version that gave each answer; nothing of those that have not come."""
    found: dict[str, str] = {}
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT generation_id, COALESCE(version, '') FROM episodes WHERE policy = ?"
            f" AND received IS NOT NULL AND generation_id IN ({marks})",
            (policy, *chunk),
        )
        found.update(rows.fetchall())
    return found
