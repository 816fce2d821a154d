"""Episodes: the table where a generation and its feedback meet, whichever comes first (CONTRACTS 16)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from .episode import Episode, Timed
from .event import Feedback, GenerationEvent
from .intake import AT_ONCE
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


def feedback_of(tx: Transaction, policy: str, ids: Sequence[str]) -> dict[str, tuple[Timed, ...]]:
    """Return what came about each generation, in the order received; nothing where nothing came.

    Feedback that another one replaces is left out.
    """
    found = defaultdict[str, list[Timed]](list)
    for marks, chunk in _chunks(ids):
        rows = tx.execute(
            "SELECT generation_id, payload, acted, received FROM feedback"
            f" WHERE policy = ? AND generation_id IN ({marks}) AND dead = 0"
            " ORDER BY received, feedback_id",
            (policy, *chunk),
        )
        for generation_id, payload, acted, received in rows.fetchall():
            found[generation_id].append(
                Timed(feedback=_FEEDBACK.decode(payload), acted_at=acted, received_at=received)
            )
    return {generation_id: _standing(timed) for generation_id, timed in found.items()}


def _standing(timed: list[Timed]) -> tuple[Timed, ...]:
    replaced = {one.feedback.replaces for one in timed}
    return tuple(one for one in timed if one.feedback.feedback_id not in replaced)


def load_episodes(
    tx: Transaction,
    policy: str,
    ids: Sequence[str],
    feedback: Mapping[str, tuple[Timed, ...]] | None = None,
) -> list[Episode]:
    """Return episodes whose generation is known and still held, in the order of `ids`.

    `feedback` is what `feedback_of` returned for them, where it was asked already.
    """
    if feedback is None:
        feedback = feedback_of(tx, policy, ids)
    held: dict[str, tuple[bytes, float]] = {}
    for marks, chunk in _chunks(ids):
        rows = tx.execute(
            "SELECT generation_id, payload, received FROM episodes"
            f" WHERE policy = ? AND generation_id IN ({marks}) AND payload IS NOT NULL",
            (policy, *chunk),
        )
        held.update((name, (payload, received)) for name, payload, received in rows.fetchall())
    return [
        Episode(
            generation=_GENERATION.decode(held[name][0]).data,
            received_at=held[name][1],
            feedback=feedback.get(name, ()),
        )
        for name in ids
        if name in held
    ]


def stages(
    tx: Transaction, policy: str, ids: Sequence[str]
) -> list[tuple[str, str, int | None, str]]:
    """Return generation id, stage, batch and fate of these rows."""
    found: list[tuple[str, str, int | None, str]] = []
    for marks, chunk in _chunks(ids):
        found += tx.execute(
            "SELECT generation_id, stage, batch_id, fate FROM episodes"
            f" WHERE policy = ? AND generation_id IN ({marks})",
            (policy, *chunk),
        ).fetchall()
    return found


def _chunks(ids: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield placeholders and ids, as many at a time as one statement takes."""
    for start in range(0, len(ids), AT_ONCE):
        chunk = ids[start : start + AT_ONCE]
        yield ",".join("?" * len(chunk)), chunk


def put_scores(
    tx: Transaction, policy: str, scores: Iterable[tuple[Episode, Scored, str, str]], now: float
) -> None:
    """Write rewards, with stage and fate, as next revisions of what is not sealed yet."""
    tx.executemany(
        "UPDATE episodes SET reward = ?, parts = ?, spec_version = ?, revision = revision + 1,"
        " scored_at = ?, stage = ?, fate = ?, due = ?"
        " WHERE policy = ? AND generation_id = ? AND batch_id IS NULL",
        [
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
            )
            for episode, scored, stage, fate in scores
        ],
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
        # In one order, so that two transactions never wait for each other in a circle.
        [(fate, policy, generation_id) for generation_id in sorted(ids)],
    )


def count_fates(tx: Transaction, policy: str) -> dict[str, int]:
    """Return how many generations ended how; the values sum to the generations known."""
    rows = tx.execute(
        "SELECT fate, COUNT(*) FROM episodes WHERE policy = ? AND received IS NOT NULL"
        " GROUP BY fate ORDER BY fate",
        (policy,),
    )
    return dict(rows.fetchall())
