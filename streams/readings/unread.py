"""Unread: messages and answers that a reader of the daemon's has still to read.

A row is written in the transaction that takes the message in, and goes in the one that takes in what
was read of it, or in the one that gives it up: so a kill in between loses no reading and makes none
twice.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from ..events.event import Event, FeedbackEvent
from ..events.generation import Generation
from ..events.signals import FollowedUp, Judged
from ..state.bulk import by_ids, insert_rows
from ..state.transaction import Transaction

UNREAD = """
CREATE TABLE unread (
    policy TEXT NOT NULL, generation_id TEXT NOT NULL, message TEXT NOT NULL, rubric TEXT NOT NULL,
    noted REAL NOT NULL,
    PRIMARY KEY (policy, generation_id, message, rubric));
CREATE INDEX unread_noted ON unread (policy, noted)
"""


class ReadingScope(msgspec.Struct, frozen=True, kw_only=True):
    """What the join notes for a reader, and whom it believes to be one."""

    messages: bool = False
    """Whether people's next messages are read."""
    rubrics: tuple[str, ...] = ()
    """By which rubrics answers themselves are read."""
    rubric_share: float = 0.0
    """Of how many sessions' answers, drawn by their names."""
    keys: tuple[bytes, ...] = ()
    """Keys that prove a reading, beside those in the state database."""
    unproven: bool = False
    """Whether readings count without a proof: in a replay, whose recording its owner vouches for."""


class UnreadRow(NamedTuple):
    """One thing to read."""

    generation_id: str
    """The answer that it is about."""
    message: str
    """As in `Judged`: where the words stand that are to be read."""
    rubric: str
    """As in `Judged`."""
    noted: float
    """When it was taken in, epoch seconds."""


def note_unread(
    tx: Transaction,
    policy: str,
    scope: ReadingScope,
    feedback: Iterable[tuple[Event, str]],
    served: Iterable[Generation],
    now: float,
) -> None:
    """Note what a poll brought to read, and let go what it brought the reading of.

    `feedback` has each event with its origin, `served` the new generations that may be learned from.
    """
    rows, read = list[tuple[object, ...]](), list[tuple[object, ...]]()
    for event, origin in feedback:
        if not isinstance(event, FeedbackEvent):
            continue
        said = event.data
        if type(said.signal) is Judged:
            read.append((policy, said.generation_id, said.signal.message, said.signal.rubric))
        elif scope.messages and type(said.signal) is FollowedUp:
            rows.append((policy, said.generation_id, origin or said.feedback_id, "", now))
    for data in served if scope.rubrics and scope.rubric_share else ():
        if _drawn(f"{data.tenant}\0{data.session_id}") < scope.rubric_share:
            name = data.generation_id
            rows += [(policy, name, name, rubric, now) for rubric in scope.rubrics]
    insert_rows(
        tx,
        "INSERT INTO unread (policy, generation_id, message, rubric, noted) VALUES ",
        rows,
        " ON CONFLICT (policy, generation_id, message, rubric) DO NOTHING",
    )
    tx.executemany(
        "DELETE FROM unread WHERE policy = ? AND generation_id = ? AND message = ? AND rubric = ?",
        read,
    )


def unread(view: Transaction, policy: str, limit: int, *, rubrics: bool) -> list[UnreadRow]:
    """Return which messages are to be read, or which answers by rubrics; what came first first."""
    rows = view.execute(
        "SELECT generation_id, message, rubric, noted FROM unread WHERE policy = ?"
        f" AND rubric {'<>' if rubrics else '='} ''"
        " ORDER BY noted, generation_id, message, rubric LIMIT ?",
        (policy, limit),
    ).fetchall()
    return [UnreadRow._make(row) for row in rows]


def count_unread(view: Transaction, policy: str) -> int:
    """Return how much is to be read."""
    sql = "SELECT COUNT(*) FROM unread WHERE policy = ?"
    return int(view.execute(sql, (policy,)).fetchone()[0])


def give_up(tx: Transaction, policy: str, rows: Sequence[UnreadRow]) -> None:
    """Let go what will not be read."""
    tx.executemany(
        "DELETE FROM unread WHERE policy = ? AND generation_id = ? AND message = ? AND rubric = ?",
        [(policy, *row[:3]) for row in rows],
    )


def forget_readings(tx: Transaction, policy: str, said: Sequence[tuple[str, str]]) -> None:
    """Forget what was read of some messages, each beside the answer that it was about."""
    about = dict[str, set[str]]()
    for generation_id, message in said:
        about.setdefault(generation_id, set()).add(message)
    for marks, chunk in by_ids(sorted(about)):
        rows = tx.execute(
            "SELECT generation_id, feedback_id, tenant, payload FROM feedback WHERE policy = ?"
            f" AND generation_id IN ({marks}) AND kind = 'judged' AND dead = 0",
            (policy, *chunk),
        ).fetchall()
        tx.executemany(
            "DELETE FROM feedback"
            " WHERE policy = ? AND generation_id = ? AND feedback_id = ? AND tenant = ?",
            [
                (policy, name, feedback_id, tenant)
                for name, feedback_id, tenant, payload in rows
                if msgspec.json.decode(payload)["signal"].get("message") in about[name]
            ],
        )
    tx.executemany(
        "DELETE FROM unread WHERE policy = ? AND generation_id = ? AND message = ?",
        [(policy, *each) for each in said],
    )


def _drawn(session: str) -> float:
    """Return a session's place in [0, 1): the same wherever and whenever it is asked."""
    drawn = hashlib.blake2b(session.encode(), digest_size=8, person=b"rlwd.rubrics").digest()
    return int.from_bytes(drawn) / 2**64
