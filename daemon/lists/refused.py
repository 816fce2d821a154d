"""Refused records: dead letters by partition, and each one's page, without what anybody wrote."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ...streams.join.offsets import record_counts
from ...streams.log.ports import Partition
from ...streams.state.transaction import Transaction
from ..http.query import NotHere, known_values, whole_number
from .partition_facts import partition_facts

LETTERS = 200
"""Dead letters that are looked at, newest first, in each partition, where they are counted by reason."""
SHOWN, PAGE = 20, 50
"""Dead letters on the ledger, and on a page of their own."""
WINDOW = 2_000
"""Dead letters that a page reads at most, where not every one that it reads is asked for."""
NEVER_CAME = " never came within its horizon"


def read_letters(view: Transaction, policy: str) -> dict[str, Any]:
    """Return refused records by reason: the newest of each partition, without what they held."""
    found = [
        one
        for partition in record_counts(view, policy)
        for one in _letters(view, policy, partition, 2**53, LETTERS)
    ]
    found.sort(key=lambda one: -one["at"])
    return {
        "letters": found[:SHOWN],
        "letters_seen": len(found),
        "reasons": Counter(kind_of(one["reason"]) for one in found).most_common(),
    }


def read_partition(
    view: Transaction, policy: str, partition: Partition, query: Mapping[str, str]
) -> dict[str, Any]:
    """Return how far a partition is read, and a page of its refused records. Raises NotHere."""
    facts = partition_facts(view, policy, partition)
    if facts is None:
        raise NotHere(f"{partition.topic}/{partition.index}: no such partition is read here.")
    asked = known_values(query, ("before", "reason"))
    before = whole_number("before", asked["before"]) if "before" in asked else 2**53
    reason = asked.get("reason", "")
    read = _letters(view, policy, partition, before, WINDOW if reason else PAGE + 1)
    wanted = [one for one in read if not reason or kind_of(one["reason"]) == reason]
    shown = wanted[:PAGE]
    full = len(read) == (WINDOW if reason else PAGE + 1)
    last = shown[-1] if len(wanted) > PAGE else read[-1] if full and read else None
    return {
        "partition": partition,
        **facts._asdict(),
        "letters": shown,
        "reason": reason,
        "before": None if last is None else last["offset"],
        "first": "before" in asked,
    }


def read_letter(
    view: Transaction, policy: str, partition: Partition, offset: int
) -> dict[str, Any]:
    """Return one refused record: why, when, whose, and where what it held is. Raises NotHere."""
    found = _letters(view, policy, partition, offset + 1, 1)
    if not found or found[0]["offset"] != offset:
        place = f"{partition.topic}/{partition.index}/{offset}"
        raise NotHere(
            f"{place}: no record of this place was refused. What was taken in is told by its answer."
        )
    row = view.execute(
        "SELECT value, forwarded FROM dead_letters WHERE policy = ? AND topic = ? AND partition = ?"
        ' AND "offset" = ?',
        (policy, partition.topic, partition.index, offset),
    ).fetchone()
    named = names_in(bytes(row[0]))
    answer = found[0]["answer"] or named.pop("data.generation_id", "")
    known = (
        answer
        and view.execute(
            "SELECT 1 FROM episodes WHERE policy = ? AND generation_id = ?", (policy, answer)
        ).fetchone()
    )
    return {
        **found[0],
        "partition": partition,
        "bytes": len(row[0]),
        "forwarded": bool(row[1]),
        "named": named,
        "answer": answer,
        "known": bool(known),
    }


def kind_of(reason: str) -> str:
    """Return what a refusal is, without whom it is about.

    >>> kind_of("unknown_generation: s1.g1 never came"), kind_of("$.data.text: expected a string")
    ('unknown_generation', '$.data.text')
    """
    return reason.partition(":")[0][:80]


def names_in(value: bytes) -> dict[str, str]:
    """Return what a record says of itself in names and ids, as far as it can be read: no text is one.

    >>> names_in(b'{"type": "x", "data": {"generation_id": "s.g", "text": "oh"}}')
    {'type': 'x', 'data.generation_id': 's.g'}
    >>> names_in(b"junk"), names_in(b"[1]")
    ({}, {})
    """
    try:
        told = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    told = told if isinstance(told, dict) else {}
    data = told.get("data")
    # Feedback that waited for its answer is kept without its envelope.
    data = data if isinstance(data, dict) else told
    found = {name: told.get(name) for name in ("type", "source", "time", "id")}
    found |= {
        f"data.{name}": data.get(name) for name in ("feedback_id", "generation_id", "session_id")
    }
    return {name: one[:200] for name, one in found.items() if isinstance(one, str) and one}


def _letters(
    view: Transaction, policy: str, partition: Partition, before: int, limit: int
) -> list[dict[str, Any]]:
    """Return a partition's dead letters below an offset, the last first."""
    rows = view.execute(
        'SELECT at, reason, "offset" FROM dead_letters WHERE policy = ? AND topic = ?'
        ' AND partition = ? AND "offset" < ? ORDER BY "offset" DESC LIMIT ?',
        (policy, partition.topic, partition.index, before, limit),
    ).fetchall()
    return [
        {
            "at": at,
            "reason": reason,
            "kind": kind_of(reason),
            "topic": partition.topic,
            "index": partition.index,
            "offset": offset,
            "record": f"{partition.topic}/{partition.index}/{offset}",
            "answer": _named(reason),
        }
        for at, reason, offset in rows
    ]


def _named(reason: str) -> str:
    """Return the answer that feedback was about which never came; empty for other refusals.

    >>> _named("unknown_generation: s 1.g never came within its horizon"), _named("$.data: none")
    ('s 1.g', '')
    """
    kind, _, rest = reason.partition(": ")
    return rest.removesuffix(NEVER_CAME) if kind == "unknown_generation" else ""
