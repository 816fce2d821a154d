"""Sealing: ready episodes become an immutable batch in one transaction (CONTRACTS 17, 18)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from ...rewards.trust.weighing import Weighed
from ...streams.events.stage import EpisodeStage
from ...streams.join import episodes_table, fate, offsets
from ...streams.state.transaction import Transaction, row_lock
from ..sealed import SealedBatch, SealedEpisode, batch_hash
from .batch_settings import BatchSettings
from .passed_over import PASSED_OVER, Decided, note_decided, passed_over
from .token_credits import Credit, credit_in_batch, whole_answer
from .user_share import beyond_share
from .weighed import WEIGHED, Trust, weigh_episodes

MIGRATIONS = (
    """
CREATE TABLE batches (
    policy TEXT NOT NULL, batch_id INTEGER NOT NULL, state TEXT NOT NULL,
    parent_sequence INTEGER NOT NULL, hash TEXT NOT NULL, content BLOB NOT NULL,
    sealed_at REAL NOT NULL, deaths INTEGER NOT NULL DEFAULT 0, sequence INTEGER,
    PRIMARY KEY (policy, batch_id))
""",
    WEIGHED,
    PASSED_OVER,
)
"""States: sealed, applied, skipped, reverted."""

ReadyRow = tuple[str, str, float, int, str | None, str]
"""Generation id, version, reward, its revision, the user where one is named, and the segment."""

Age = Callable[[str], int | None]
"""Versions along the lineage from a served version to the parent; None where it is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyEpisode:
    """An episode that may be sealed."""

    generation_id: str
    """Id of its generation."""
    version: str
    """Version that served it."""
    reward: float
    """Of its latest revision."""
    revision: int
    """Which that is."""
    age: int
    """Its policy age now."""
    user: str | None
    """Hash of the user whom it answered; None where the product named nobody."""
    decided: Decided
    """What is compared with the episodes that are too old."""


def seal(
    tx: Transaction,
    policy: str,
    settings: BatchSettings,
    *,
    parent_sequence: int,
    max_policy_age: int,
    age: Age,
    now: float,
    credit: Credit = whole_answer,
    spec_version: str | None = None,
    trust: Trust | None = None,
) -> SealedBatch | None:
    """Seal a batch of the freshest ready episodes; None where there are too few.

    Their rewards are by one spec: `spec_version`, or that of the episode received first. What was
    scored by another one waits until it was scored again. Those beyond one user's share are excluded by
    name once there is a batch without them. Whether or not a batch is sealed, episodes that are too old
    are excluded by name. A held-out share is set aside. `trust` says what each counts; without it all
    count the same. From sealing on, a revision of any of them counts as after training.
    """
    fresh, too_old = _by_age(_ready_rows(tx, policy, spec_version), age, max_policy_age)
    episodes_table.close(tx, policy, [one.generation_id for one in too_old], fate.TOO_OLD)
    batch_id = _next_id(tx, policy)
    note_decided(tx, policy, batch_id, too_old, too_old=True)
    beyond = beyond_share([one.user for one in fresh], settings.user_share)
    within = [one for one, left_out in zip(fresh, beyond, strict=True) if not left_out]
    if len(within) < settings.episodes:
        return None
    # Only now: until there is a batch, others' answers may still come and make room for them.
    left_out = [one.generation_id for one, out in zip(fresh, beyond, strict=True) if out]
    episodes_table.close(tx, policy, left_out, fate.USER_SHARE)
    chosen = within[: settings.at_most]
    note_decided(tx, policy, batch_id, [one.decided for one in chosen], too_old=False)
    held = _held_out(chosen, settings.held_out)
    sealed = _sealed(tx, policy, batch_id, chosen, trust, credit_in_batch(credit, held))
    batch = SealedBatch(
        batch_id=batch_id,
        policy=policy,
        parent_sequence=parent_sequence,
        spec_version=_spec_version(tx, policy, chosen[0].generation_id),
        episodes=tuple(one for one in sealed if one.generation_id not in held),
        held_out=tuple(one for one in sealed if one.generation_id in held),
        offsets={f"{p.topic}/{p.index}": n for p, n in offsets.load_offsets(tx, policy).items()},
        passed_over=passed_over(tx, policy, batch_id),
    )
    _write_rows(tx, batch, now)
    return batch


def _ready_rows(tx: Transaction, policy: str, spec_version: str | None) -> list[ReadyRow]:
    """Return what may be sealed, in the order in which it was received; by one spec alone."""
    rows = tx.execute(
        "SELECT generation_id, version, reward, revision,"
        " CASE WHEN user_named = 1 THEN user_hash END, segment, received, spec_version FROM episodes"
        f" WHERE policy = ? AND stage = '{EpisodeStage.READY}' ORDER BY generation_id"
        + row_lock(tx),
        (policy,),
    ).fetchall()
    ready = sorted(rows, key=lambda row: (row[6], row[0]))
    spec = spec_version or (ready[0][7] if ready else None)
    return [row[:6] for row in ready if row[7] == spec]


def _by_age(
    rows: Sequence[ReadyRow], age: Age, max_policy_age: int
) -> tuple[list[ReadyEpisode], list[Decided]]:
    """Return the episodes within the bound, freshest first, and the others."""
    fresh, too_old = list[ReadyEpisode](), list[Decided]()
    for generation_id, version, reward, revision, user, segment in rows:
        policy_age, decided = age(version), Decided(generation_id, segment, reward)
        if policy_age is None or policy_age > max_policy_age:
            too_old.append(decided)
            continue
        fresh.append(
            ReadyEpisode(
                generation_id=generation_id,
                version=version,
                reward=reward,
                revision=revision,
                age=policy_age,
                user=user or None,
                decided=decided,
            )
        )
    return sorted(fresh, key=lambda episode: episode.age), too_old


def _held_out(chosen: Sequence[ReadyEpisode], share: float) -> set[str]:
    """Return the generation ids that are kept from training."""
    ids = [one.generation_id for one in chosen]
    # By the id's hash, so that sealing again after a lost transaction decides the same.
    draws = [int.from_bytes(blake2b(one.encode(), digest_size=4).digest(), "big") for one in ids]
    return {one for one, draw in zip(ids, draws, strict=True) if draw < share * 2**32}


def _sealed(
    tx: Transaction,
    policy: str,
    batch_id: int,
    rows: Sequence[ReadyEpisode],
    trust: Trust | None,
    credit: Credit,
) -> list[SealedEpisode]:
    ids = [row.generation_id for row in rows]
    known = {one.id: one for one in episodes_table.load_episodes(tx, policy, ids)}
    weighed: Sequence[Weighed | None] = [None] * len(rows)
    if trust is not None:
        judged = [(known[row.generation_id], row.reward) for row in rows]
        weighed = weigh_episodes(tx, policy, trust, batch_id, judged)
    sealed = []
    for row, counts in zip(rows, weighed, strict=True):
        episode = known[row.generation_id]
        generation = episode.generation
        assert generation.prompt_token_ids is not None, "ready without tokens"
        assert generation.completion_token_ids is not None, "ready without tokens"
        assert generation.logprobs is not None, "ready without log-probabilities"
        sealed.append(
            SealedEpisode(
                generation_id=row.generation_id,
                segment=generation.segment,
                harness=generation.harness,
                version=row.version,
                age=row.age,
                prompt_token_ids=generation.prompt_token_ids,
                completion_token_ids=generation.completion_token_ids,
                logprobs=generation.logprobs,
                temperature=generation.sampling.temperature,
                reward=row.reward if counts is None else counts.reward,
                reward_revision=row.revision,
                credit=credit(episode),
                weight=1.0 if counts is None else counts.weight,
                confound=0.0 if counts is None else counts.confound,
            )
        )
    return sealed


def _next_id(tx: Transaction, policy: str) -> int:
    row = tx.execute(
        "SELECT COALESCE(MAX(batch_id), 0) + 1 FROM batches WHERE policy = ?", (policy,)
    ).fetchone()
    return int(row[0])


def _spec_version(tx: Transaction, policy: str, generation_id: str) -> str:
    row = tx.execute(
        "SELECT spec_version FROM episodes WHERE policy = ? AND generation_id = ?",
        (policy, generation_id),
    ).fetchone()
    return str(row[0])


def _write_rows(tx: Transaction, batch: SealedBatch, now: float) -> None:
    tx.execute(
        "INSERT INTO batches (policy, batch_id, state, parent_sequence, hash, content, sealed_at)"
        " VALUES (?, ?, 'sealed', ?, ?, ?, ?)",
        (
            batch.policy,
            batch.batch_id,
            batch.parent_sequence,
            batch_hash(batch),
            msgspec.json.encode(batch),
            now,
        ),
    )
    for group, stage, ends in (
        (batch.episodes, EpisodeStage.SEALED, fate.WAITING),
        (batch.held_out, EpisodeStage.CLOSED, fate.HELD_OUT),
    ):
        tx.executemany(
            "UPDATE episodes SET stage = ?, fate = ?, batch_id = ?"
            " WHERE policy = ? AND generation_id = ?",
            [(stage.value, ends, batch.batch_id, batch.policy, one.generation_id) for one in group],
        )
