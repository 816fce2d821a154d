"""Episodes: the table where a generation and its feedback meet, whichever comes first (CONTRACTS 16)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from .episode import Episode, Timed
from .event import Feedback, FeedbackEvent, GenerationEvent
from .source import Record
from .transaction import Transaction

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
"""Stages of a row:

orphan  feedback came, its generation has not
open    nothing decisive came yet; censored when `due` has been read past
scored  it has a reward and waits for `due` to be ready
ready   may be sealed into a batch
sealed  in a batch; from here on a revision counts as after training
closed  its fate is final
"""

_GENERATION = msgspec.json.Decoder(GenerationEvent)
_FEEDBACK = msgspec.json.Decoder(Feedback)
_ENCODE = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What an episode was worth when it was last looked at."""

    value: float
    """In [0, 1]."""
    parts: bytes
    """The named parts, JSON."""
    spec_version: str
    """Version of the reward spec."""
    ready_at: float
    """Receive time, epoch seconds, from which it may be trained on; 0 is at once."""


def put_generation(
    tx: Transaction, policy: str, event: GenerationEvent, record: Record, *, due: float, fate: str
) -> bool:
    """Take in a generation; return False where it is there already.

    With a fate other than waiting the row is closed at once and holds no payload: what may not be
    trained on is counted, not kept.
    """
    data, received = event.data, event.receivedtime.timestamp()
    closed = fate != "waiting"
    written = tx.execute(
        "INSERT INTO episodes (policy, generation_id, stage, fate, due, received, day, segment,"
        " user_hash, salt, variant, version, empty, topic, partition,"
        ' "offset", payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
        " ON CONFLICT (policy, generation_id) DO UPDATE SET stage = excluded.stage,"
        " fate = excluded.fate, due = excluded.due, received = excluded.received,"
        " day = excluded.day, segment = excluded.segment, user_hash = excluded.user_hash,"
        " salt = excluded.salt, variant = excluded.variant, version = excluded.version,"
        " empty = excluded.empty, topic = excluded.topic, partition = excluded.partition,"
        ' "offset" = excluded."offset", payload = excluded.payload WHERE episodes.received IS NULL',
        (
            policy,
            data.generation_id,
            "closed" if closed else "open",
            fate,
            due,
            received,
            int(received // 86400),
            data.segment,
            data.user_hash,
            data.salt,
            # Whoever got other weights than his variant's says nothing about either of them.
            "fallback" if data.fallback else data.variant,
            data.version,
            int(data.completion_token_ids == ()),
            record.partition.topic,
            record.partition.index,
            record.offset,
            None if closed else record.value,
        ),
    )
    return written.rowcount == 1


def put_feedback(
    tx: Transaction, policy: str, event: FeedbackEvent, record: Record, *, due: float
) -> bool:
    """Take in feedback; return False where it is there already."""
    data = event.data
    written = tx.execute(
        "INSERT INTO feedback (policy, generation_id, feedback_id, kind, acted, received, payload,"
        ' topic, partition, "offset") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
        (
            policy,
            data.generation_id,
            data.feedback_id,
            data.signal.__struct_config__.tag,
            event.time.timestamp(),
            event.receivedtime.timestamp(),
            _ENCODE(data),
            record.partition.topic,
            record.partition.index,
            record.offset,
        ),
    )
    if written.rowcount != 1:
        return False
    tx.execute(
        "INSERT INTO episodes (policy, generation_id, stage, fate, due)"
        " VALUES (?, ?, 'orphan', 'waiting', ?) ON CONFLICT DO NOTHING",
        (policy, data.generation_id, due),
    )
    return True


def load_episodes(tx: Transaction, policy: str, ids: Sequence[str]) -> list[Episode]:
    """Return episodes whose generation is known and still held, feedback in the order received.

    Feedback that another one replaces is left out.
    """
    found: list[Episode] = []
    for generation_id in ids:
        row = tx.execute(
            "SELECT payload, received FROM episodes WHERE policy = ? AND generation_id = ?",
            (policy, generation_id),
        ).fetchone()
        if row is None or row[0] is None:
            continue
        found.append(
            Episode(
                generation=_GENERATION.decode(row[0]).data,
                received_at=row[1],
                feedback=_feedback_of(tx, policy, generation_id),
            )
        )
    return found


def _feedback_of(tx: Transaction, policy: str, generation_id: str) -> tuple[Timed, ...]:
    rows = tx.execute(
        "SELECT payload, acted, received FROM feedback"
        " WHERE policy = ? AND generation_id = ? AND dead = 0 ORDER BY received, feedback_id",
        (policy, generation_id),
    ).fetchall()
    timed = [
        Timed(feedback=_FEEDBACK.decode(payload), acted_at=acted, received_at=received)
        for payload, acted, received in rows
    ]
    replaced = {one.feedback.replaces for one in timed}
    return tuple(one for one in timed if one.feedback.feedback_id not in replaced)


def put_score(
    tx: Transaction,
    policy: str,
    episode: Episode,
    scored: Scored,
    *,
    stage: str,
    fate: str,
    now: float,
) -> None:
    """Write an episode's reward as its next revision, where it is not sealed yet."""
    tx.execute(
        "UPDATE episodes SET reward = ?, parts = ?, spec_version = ?, revision = revision + 1,"
        " scored_at = ?, stage = ?, fate = ?, due = ?"
        " WHERE policy = ? AND generation_id = ? AND batch_id IS NULL",
        (
            scored.value,
            scored.parts,
            scored.spec_version,
            now,
            stage,
            fate,
            scored.ready_at,
            policy,
            episode.id,
        ),
    )


def count_late(tx: Transaction, policy: str, ids: Iterable[str]) -> None:
    """Count feedback that came after its episode was sealed or closed; it moves nothing."""
    tx.executemany(
        "UPDATE episodes SET late = late + 1 WHERE policy = ? AND generation_id = ?",
        [(policy, generation_id) for generation_id in ids],
    )


def close(tx: Transaction, policy: str, ids: Iterable[str], fate: str) -> None:
    """Give episodes their final fate."""
    tx.executemany(
        "UPDATE episodes SET stage = 'closed', fate = ? WHERE policy = ? AND generation_id = ?",
        [(fate, policy, generation_id) for generation_id in ids],
    )


def count_fates(tx: Transaction, policy: str) -> dict[str, int]:
    """Return how many generations ended how; the values sum to the generations known."""
    rows = tx.execute(
        "SELECT fate, COUNT(*) FROM episodes WHERE policy = ? AND received IS NOT NULL"
        " GROUP BY fate ORDER BY fate",
        (policy,),
    )
    return dict(rows.fetchall())
