"""Sealing: ready episodes become an immutable batch in one transaction (CONTRACTS 17, 18)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from ...rewards.trust.weighing import Weighed
from ...streams.attribution.session_numbers import session_numbers
from ...streams.events.episode import Episode
from ...streams.events.stage import EpisodeStage
from ...streams.join import episodes_table, fate, offsets
from ...streams.state.transaction import Transaction
from ..benchmark_people import BENCHMARK_PEOPLE, close_theirs
from ..drawn_people import drawn_number, drawn_people
from ..sealed import RATIO, SaidMessage, SealedBatch, SealedEpisode, batch_hash
from .batch_settings import BatchSettings
from .lane_choice import RATIO_ONLY, ChosenEpisode, LaneChoice, LaneRules, choose_episodes
from .passed_over import PASSED_OVER, note_decided, passed_over
from .ready import Age, by_age, ready_rows, wanted_of
from .token_credits import Credit, credit_in_batch, whole_answer
from .user_share import too_few
from .weighed import AGREED, BY_BATCH, WEIGHED, Trust, weigh_episodes

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
    AGREED,
    BENCHMARK_PEOPLE,
    BY_BATCH,
)
"""States: sealed, applied, skipped, reverted."""


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
    lanes: LaneRules = RATIO_ONLY,
) -> SealedBatch | None:
    """Seal a batch of the ready episodes that come first (`ready.py`); None where there are too few.

    Their rewards are by one spec: `spec_version`, or that of the episode received first; others wait to be scored
    again. Those beyond one user's share are excluded by name once there is a batch without them, those too old or
    in no lane in any case. `trust` says what each counts. A later revision is after training.
    """
    close_theirs(tx, policy)
    fresh, too_old = by_age(ready_rows(tx, policy, spec_version), age, max_policy_age, lanes.oldest)
    episodes_table.close(tx, policy, [one.generation_id for one in too_old], fate.TOO_OLD)
    batch_id = _next_id(tx, policy)
    note_decided(tx, policy, batch_id, too_old, too_old=True)
    wanted, beyond = wanted_of(fresh, settings)
    if too_few([one.user for one in wanted], settings):
        return None
    chosen = choose_episodes(tx, policy, wanted, lanes, max_policy_age)
    if too_few([one.row.user for one in chosen], settings):
        return None
    # Only now: until there is a batch, others' answers may still come and make room for them.
    episodes_table.close(tx, policy, beyond, fate.USER_SHARE)
    note_decided(tx, policy, batch_id, [one.row.decided for one in chosen], too_old=False)
    people = held_out_people(chosen, settings.held_out, batch_id)
    held = people.keys() | _held_out(chosen, settings.held_out)
    sealed = _sealed(tx, policy, batch_id, chosen, trust, credit_in_batch(credit, held), people)
    batch = SealedBatch(
        batch_id=batch_id,
        policy=policy,
        parent_sequence=parent_sequence,
        spec_version=_spec_version(tx, policy, chosen[0].episode.id),
        episodes=tuple(one for one in sealed if one.generation_id not in held),
        held_out=tuple(one for one in sealed if one.generation_id in held),
        offsets={f"{p.topic}/{p.index}": n for p, n in offsets.load_offsets(tx, policy).items()},
        passed_over=passed_over(tx, policy, batch_id),
    )
    _write_rows(tx, batch, now)
    return batch


def _held_out(chosen: Sequence[ChosenEpisode], share: float) -> set[str]:
    """Return the generation ids that are kept from training: the gate's evidence needs their ratios."""
    return {
        one.episode.id
        for one in chosen
        if _weighable(one) and drawn_number(one.episode.id) < share * 2**32
    }


def held_out_people(chosen: Sequence[ChosenEpisode], share: float, batch_id: int) -> dict[str, int]:
    """Return the generation ids that are kept from training as preference evidence, by user's number.

    Importance weights cannot judge these. Nothing of such a user is trained on, so that no leniency of his was
    learned; of others in each batch. What makes a weight is held out by number 0; who has texts without tokens is
    not drawn. Fewer users than `drawn_people.LEAST_PEOPLE` would show nothing: none is.
    """
    told = [one for one in chosen if one.row.user and not _weighable(one)]
    texts = {one.row.user for one in told if not one.episode.generation.completion_token_ids}
    judging = {user for one in told if (user := one.row.user) and user not in texts}
    drawn = {user: n for n, user in enumerate(drawn_people(judging, share, batch_id), 1)}
    return {
        one.episode.id: 0 if _weighable(one) else drawn[user]
        for one in chosen
        if (user := one.row.user or "") in drawn
    }


def _weighable(chosen: ChosenEpisode) -> bool:
    # Of a long answer that top-p cut the product of the ratios says how long it is.
    uncut = chosen.episode.generation.sampling.top_p >= 1.0
    return uncut and RATIO in chosen.choice.lane.split("+")


def _sealed(
    tx: Transaction,
    policy: str,
    batch_id: int,
    chosen: Sequence[ChosenEpisode],
    trust: Trust | None,
    credit: Credit,
    people: Mapping[str, int],
) -> list[SealedEpisode]:
    weighed: Sequence[Weighed | None] = [None] * len(chosen)
    if trust is not None:
        judged = [(one.episode, one.row.reward) for one in chosen]
        weighed = weigh_episodes(tx, policy, trust, batch_id, judged)
    numbers = session_numbers([one.episode for one in chosen])
    return [
        msgspec.structs.replace(
            sealed_episode(one.episode, one.choice, credit, _counted(one, counts), numbers),
            person=people.get(one.row.generation_id, 0),
        )
        for one, counts in zip(chosen, weighed, strict=True)
    ]


class Counted(NamedTuple):
    """What the tables know of an episode that is sealed."""

    version: str
    """Version that served it."""
    age: int
    """Policy age; -1 where no version of this policy served it."""
    revision: int
    """Of its reward."""
    reward: float
    """As it counts."""
    weight: float
    """How much."""
    confound: float
    """As `SealedEpisode.confound`."""


def _counted(chosen: ChosenEpisode, counts: Weighed | None) -> Counted:
    row = chosen.row
    if counts is None:
        return Counted(row.version, row.age, row.revision, row.reward, 1.0, 0.0)
    return Counted(
        row.version, row.age, row.revision, counts.reward, counts.weight, counts.confound
    )


def sealed_episode(
    episode: Episode,
    choice: LaneChoice,
    credit: Credit,
    counted: Counted,
    sessions: Mapping[str, int],
) -> SealedEpisode:
    """Return what the update gets to know of an episode; `sessions` are the batch's `session_numbers`."""
    generation = episode.generation
    spelt = generation.prompt_token_ids and generation.completion_token_ids
    assert spelt or fate.tells_all(generation), "ready without tokens"
    return SealedEpisode(
        generation_id=episode.id,
        traceparent=generation.traceparent,
        segment=generation.segment,
        harness=generation.harness,
        version=counted.version,
        age=counted.age,
        prompt_token_ids=generation.prompt_token_ids or (),
        completion_token_ids=generation.completion_token_ids or (),
        logprobs=generation.logprobs or (),
        temperature=generation.sampling.temperature,
        reward=counted.reward,
        reward_revision=counted.revision,
        credit=credit(episode),
        weight=counted.weight,
        confound=counted.confound,
        top_p=generation.sampling.top_p,
        lane=choice.lane,
        correction=choice.correction,
        follow_up=choice.follow_up,
        engine=generation.engine,
        messages=()
        if spelt
        else tuple([SaidMessage(role=one.role, text=one.text) for one in generation.input]),
        text="" if spelt else generation.text,
        session=sessions.get(episode.id, 0),
        routed_experts=generation.routed_experts if spelt else None,
    )


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
            "UPDATE episodes SET stage = ?, fate = ?, batch_id = ?, lane = ?"
            " WHERE policy = ? AND generation_id = ?",
            [
                (stage.value, ends, batch.batch_id, one.lane, batch.policy, one.generation_id)
                for one in group
            ],
        )
