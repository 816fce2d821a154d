"""Episodes: the table where a generation and its feedback meet, whichever comes first (CONTRACTS 16)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ..derived.overruled import without_overruled
from ..events.episode import Attribution, Episode, Timed, join_feedback, without_replaced
from ..events.event import decode_feedback
from ..events.scored import Scored
from ..events.stage import EpisodeStage
from ..sessions.contents import load_contents
from ..state.bulk import by_ids, insert_rows
from ..state.transaction import Transaction
from .fate import WAITING

EPISODES = """
CREATE TABLE event_keys (
    policy TEXT NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (policy, digest));
CREATE TABLE episodes (
    policy TEXT NOT NULL, generation_id TEXT NOT NULL,
    stage TEXT NOT NULL, fate TEXT NOT NULL, due REAL NOT NULL,
    received REAL, day INTEGER, segment TEXT, user_hash TEXT, salt TEXT, variant TEXT, version TEXT,
    empty INTEGER NOT NULL DEFAULT 0, payload BLOB,
    reward REAL, parts BLOB, spec_version TEXT, revision INTEGER NOT NULL DEFAULT 0,
    topic TEXT, partition INTEGER, "offset" INTEGER,
    scored_at REAL, batch_id INTEGER, trained_version TEXT, late INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (policy, generation_id));
CREATE INDEX episodes_due ON episodes (policy, stage, due);
CREATE INDEX episodes_salt ON episodes (policy, salt);
CREATE INDEX episodes_batch ON episodes (policy, batch_id);
CREATE TABLE feedback (
    policy TEXT NOT NULL, generation_id TEXT NOT NULL, feedback_id TEXT NOT NULL,
    kind TEXT NOT NULL, acted REAL NOT NULL, received REAL NOT NULL, payload BLOB NOT NULL,
    topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
    dead INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (policy, generation_id, feedback_id))
"""
"""`stage` is an EpisodeStage, and `due` the receive time until which the row waits there."""

INDEXES = """
DROP INDEX episodes_salt;
CREATE INDEX episodes_salt ON episodes (policy, salt) WHERE salt IS NOT NULL;
DROP INDEX episodes_batch;
CREATE INDEX episodes_batch ON episodes (policy, batch_id) WHERE batch_id IS NOT NULL
"""
"""What was never set is in no index."""

TENANTS = """
ALTER TABLE episodes ADD COLUMN tenant TEXT;
ALTER TABLE episodes ADD COLUMN read_until REAL NOT NULL DEFAULT 0
"""
"""`tenant` was served, NULL where that was not kept; a row waits at least until `read_until`."""

TOOL_RESULTS = """
CREATE INDEX feedback_tools ON feedback (policy, received) WHERE kind = 'tool_result'
"""
"""What came back from tools is counted as it comes."""

BEHAVIOURS = """
ALTER TABLE episodes ADD COLUMN behaviours TEXT
"""
"""What the answer does, JSON: number by name; NULL where nobody measured, or its content was not held."""

LANES = """
ALTER TABLE episodes ADD COLUMN lane TEXT
"""
"""The lanes that a sealed answer is in, joined by +; NULL where it was never sealed, or by 0.1.0."""

ENDED = "stage = 'closed' AND fate <> 'trained'"
"""What is known not to be learned from, as its index says it: a query must say the same words to use it."""
ENDED_INDEX = f"CREATE INDEX episodes_ended ON episodes (policy, fate, received) WHERE {ENDED}"
"""Examples of each rule are found without reading all answers; what is learned from costs nothing."""

_ATTRIBUTION = msgspec.json.Decoder(Attribution)
_PLACE = ', topic, partition, "offset"'
_COLUMNS = (
    *("received", "day", "segment", "user_hash", "salt", "variant", "version", "empty", "failed"),
    *("cut", "user_named", "harness", "latency", "tokens", "first_turn", "topic", "partition"),
    *("prompt_tokens", "cached_tokens", "tool_calls", "moved", "assigned", "behaviours"),
    *('"offset"', "content", "tenant", "session_id", "parent_id", "link", "history", "read_until"),
    *("stage", "fate", "due", "reward", "parts", "spec_version", "revision", "scored_at"),
)
_NEW = f"INSERT INTO episodes (policy, generation_id, {', '.join(_COLUMNS)}) VALUES "
_MEET = (
    " ON CONFLICT (policy, generation_id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS)
    + " WHERE episodes.received IS NULL"
)


class EpisodeRow(NamedTuple):
    """How one row stands."""

    stage: EpisodeStage
    """How far it has come."""
    fate: str
    """As in `fate.py`."""
    batch_id: int | None
    """The batch that it was sealed into."""
    received: float | None
    """When its generation was received; None where it has not come."""
    content: int | None
    """Where its content is; None where it is not held."""
    tenant: str | None
    """To whom it was served; None where that is not known."""
    decided: int
    """1 where it has a reward, or had one."""
    variant: str | None
    """Which variant answered; None where its generation has not come."""


class NewRow(NamedTuple):
    """What is written of a new generation beside what its record says."""

    stage: EpisodeStage
    """How far it has come."""
    fate: str
    """As in `fate.py`."""
    due: float
    """Until when it waits."""
    reward: float | None
    """What it is worth, where that is known."""
    parts: bytes | None
    """The reward's parts, JSON."""
    spec_version: str | None
    """Version of the reward spec."""
    revision: int
    """1 with a reward, else 0."""
    scored_at: float | None
    """When it was looked at."""


UNSCORED = NewRow(EpisodeStage.OPEN, WAITING, 0.0, None, None, None, 0, None)
"""A new row of which nothing decisive is known yet."""


def feedback_of(
    tx: Transaction, policy: str, ids: Sequence[str], before: Mapping[str, int] | None = None
) -> dict[str, tuple[Timed, ...]]:
    """Return what came about each generation, in the order received; nothing where nothing came.

    Feedback that another one replaces is left out. With `before`, offsets by `topic/partition`, it is as
    when the log had been read up to there: what came since replaces nothing either.
    """
    found = defaultdict[str, list[Timed]](list)
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT generation_id, payload, acted, received, origin, attribution"
            f"{'' if before is None else _PLACE} FROM feedback"
            f" WHERE policy = ? AND generation_id IN ({marks}) AND dead = 0"
            " ORDER BY received, feedback_id",
            (policy, *chunk),
        )
        for generation_id, payload, acted, received, origin, held, *place in rows.fetchall():
            if before is None or place[2] < before.get(f"{place[0]}/{place[1]}", 0):
                found[generation_id].append(
                    Timed(
                        feedback=decode_feedback(payload),
                        acted_at=acted,
                        received_at=received,
                        origin=origin,
                        attribution=None if held is None else _ATTRIBUTION.decode(held),
                    )
                )
    return {generation_id: without_replaced(timed) for generation_id, timed in found.items()}


def load_episodes(
    tx: Transaction,
    policy: str,
    ids: Sequence[str],
    feedback: Mapping[str, tuple[Timed, ...]] | None = None,
) -> list[Episode]:
    """Return episodes whose generation is known and held, as `ids` stand; `feedback` is `feedback_of` them."""
    if feedback is None:
        feedback = feedback_of(tx, policy, ids)
    held = load_contents(tx, policy, ids)
    return [
        join_feedback(
            one.event.data,
            one.received,
            without_overruled(one.event.data, feedback.get(name, ())),
            one.history,
        )
        for name in ids
        if (one := held.get(name)) is not None
    ]


def standings(tx: Transaction, policy: str, ids: Sequence[str]) -> dict[str, EpisodeRow]:
    """Return how these rows stand; nothing where there is none."""
    found: dict[str, EpisodeRow] = {}
    for marks, chunk in by_ids(ids):
        rows = tx.execute(
            "SELECT generation_id, stage, fate, batch_id, received, content, tenant,"
            " CASE WHEN reward IS NULL AND revised = 0 THEN 0 ELSE 1 END, variant FROM episodes"
            f" WHERE policy = ? AND generation_id IN ({marks})",
            (policy, *chunk),
        )
        found.update(
            (name, EpisodeRow(EpisodeStage(stage), *row)) for name, stage, *row in rows.fetchall()
        )
    return found


def put_generations(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write generations, each a new row, or onto the one that its feedback waits in."""
    insert_rows(tx, _NEW, rows, _MEET)


def put_scores(
    tx: Transaction,
    policy: str,
    scores: Iterable[tuple[Episode, Scored, EpisodeStage, str]],
    now: float,
) -> None:
    """Write rewards, with stage and fate, as next revisions of what is not sealed yet."""
    tx.executemany(
        "UPDATE episodes SET reward = ?, parts = ?, spec_version = ?, revision = revision + 1,"
        " scored_at = ?, stage = ?, fate = ?, undecided = ?,"
        " due = CASE WHEN read_until > ? THEN read_until ELSE ? END"
        " WHERE policy = ? AND generation_id = ? AND batch_id IS NULL",
        [
            (
                scored.value,
                scored.parts,
                scored.spec_version,
                now,
                stage.value,
                fate,
                int(scored.undecided),
                scored.ready_at,
                scored.ready_at,
                policy,
                episode.id,
            )
            for episode, scored, stage, fate in scores
        ],
    )


def count_late(tx: Transaction, policy: str, ids: Iterable[str]) -> None:
    """Count feedback that came after its episode was sealed or closed."""
    tx.executemany(
        "UPDATE episodes SET late = late + 1 WHERE policy = ? AND generation_id = ?",
        [(policy, generation_id) for generation_id in ids],
    )


def close(tx: Transaction, policy: str, ids: Iterable[str], fate: str) -> None:
    """Give episodes their final fate."""
    tx.executemany(
        f"UPDATE episodes SET stage = '{EpisodeStage.CLOSED}', fate = ?"
        " WHERE policy = ? AND generation_id = ?",
        # In one order, so that two transactions never wait for each other in a circle.
        [(fate, policy, generation_id) for generation_id in sorted(ids)],
    )
