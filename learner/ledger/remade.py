"""Remade: a sealed batch that was forgotten, made again from the rows that stay and the records that are held."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Protocol

import msgspec

from ...streams.attribution.session_numbers import session_numbers
from ...streams.events.episode import Episode
from ...streams.join import episodes_table
from ...streams.state.bulk import by_ids
from ...streams.state.transaction import Transaction
from ..candidate import Manifest
from ..drawn_people import in_turn
from ..sealed import RATIO, SealedBatch, SealedEpisode, batch_hash
from .lane_choice import LaneChoice, LaneRules
from .own_words import correction_of, follow_up_of, origins_of
from .passed_over import passed_over
from .ready import Age
from .seal import Counted, sealed_episode
from .token_credits import Credit, credit_in_batch, whole_answer


class Episodes(Protocol):
    """Where records are held."""

    def __call__(
        self, ids: Sequence[str], before: Mapping[str, int] | None = None
    ) -> Mapping[str, Episode]:
        """Return the episodes of these generations, those whose records are held.

        With `before` as they were known when the log had been read up to these offsets.
        """
        ...


class NotHeld(ValueError):
    """Records of a batch are held nowhere that was asked."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(f"{len(missing)} records are not held, the first of them {missing[0]}")
        self.missing = tuple(missing)
        """Their generation ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaking:
    """What sealing asks for beside the tables, as the daemon is configured."""

    age: Callable[[int], Age]
    """Of a head's sequence number: policy age along the lineage."""
    credit: Credit
    """Of edited answers' tokens."""
    lanes: LaneRules
    """Which of people's words are learned from."""


def held_episodes(
    view: Transaction, policy: str, ids: Sequence[str], before: Mapping[str, int] | None = None
) -> dict[str, Episode]:
    """As `Episodes`, of those that the tables hold."""
    rows = episodes_table.standings(view, policy, ids)
    # Of what is forgotten nothing is left of its feedback either but the kind.
    held = [name for name in ids if name in rows and rows[name].content is not None]
    said = episodes_table.feedback_of(view, policy, held, before)
    return {one.id: one for one in episodes_table.load_episodes(view, policy, held, said)}


def kept_batch(view: Transaction, policy: str, manifest: Manifest) -> SealedBatch | None:
    """Return a batch as it was sealed; None where its content was forgotten, or is not that batch's."""
    row = view.execute(
        "SELECT content FROM batches WHERE policy = ? AND batch_id = ?",
        (policy, manifest.batch_id),
    ).fetchone()
    if row is None or not row[0]:
        return None
    try:
        found = msgspec.json.decode(bytes(row[0]), type=SealedBatch)
    except ValueError:  # msgspec's, or of bytes that are no text
        return None
    return found if batch_hash(found) == manifest.batch_hash else None


def remade_batch(
    view: Transaction, policy: str, manifest: Manifest, remaking: Remaking, episodes: Episodes
) -> SealedBatch:
    """Return a forgotten batch, sealed again: it has the hash that the manifest names, or there is none.

    Rewards, weights and lanes come from the tables, which keep them; tokens and texts from `episodes`.
    Feedback that was read after the sealing is left out (`_as_known`). Raises NotHeld where a record is
    missing, and ValueError where all are there and make another batch.
    """
    ids = (*manifest.episode_ids, *manifest.held_out_ids)
    parent, sealed_at = _sealed(view, policy, manifest)
    rows, held = _rows(view, policy, ids, remaking.age(parent)), episodes(ids)
    if missing := [name for name in ids if name not in held or name not in rows]:
        raise NotHeld(missing)
    credit, lanes = remaking.credit, remaking.lanes
    # Sessions were not kept before 0.2.
    known = _as_known(ids, held, episodes, manifest.offsets, sealed_at)
    tries = ((told, c, n) for told in known for c, n in product((True, False), repeat=2))
    for told, counted, numbered in tries:
        numbers = session_numbers([told[name] for name in ids]) if numbered else {}
        again = partial(
            _again, rows=rows, held=told, lanes=lanes, episodes=episodes, sessions=numbers
        )
        made = SealedBatch(
            batch_id=manifest.batch_id or 0,
            policy=policy,
            parent_sequence=parent,
            spec_version=manifest.spec_version,
            episodes=again(manifest.episode_ids, credit=credit_in_batch(credit, ())),
            held_out=_with_people(
                again(manifest.held_out_ids, credit=whole_answer), told, manifest.batch_id or 0
            ),
            offsets=manifest.offsets,
            passed_over=passed_over(view, policy, manifest.batch_id) if counted else None,
        )
        if batch_hash(made) == manifest.batch_hash:
            return made
    raise ValueError(
        "its records are held, but sealed again they make another batch: the reward spec's credit per"
        " token, privacy.own_words or learner.lanes are other ones by now"
    )


def _sealed(view: Transaction, policy: str, manifest: Manifest) -> tuple[int, float | None]:
    """Return the parent that the batch was sealed on, and when."""
    row = view.execute(
        "SELECT parent_sequence, sealed_at FROM batches WHERE policy = ? AND batch_id = ?",
        (policy, manifest.batch_id),
    ).fetchone()
    if row is not None:
        return int(row[0]), float(row[1])
    return manifest.parent_sequence or 0, None


def _rows(
    view: Transaction, policy: str, ids: Sequence[str], age: Age
) -> dict[str, tuple[Counted, str]]:
    """Return what the tables keep of sealed episodes for ever, and their lanes."""
    found = dict[str, tuple[Counted, str]]()
    for marks, chunk in by_ids(ids):
        rows = view.execute(
            "SELECT e.generation_id, COALESCE(e.lane, ?), e.version, e.revision,"
            " COALESCE(w.reward, e.reward), COALESCE(w.weight, 1.0), COALESCE(w.confound, 0.0)"
            " FROM episodes e LEFT JOIN weighed w"
            " ON w.policy = e.policy AND w.generation_id = e.generation_id"
            f" WHERE e.policy = ? AND e.reward IS NOT NULL AND e.generation_id IN ({marks})",
            (RATIO, policy, *chunk),
        )
        for name, lane, version, *numbers in rows.fetchall():
            aged = age(version)
            found[name] = (Counted(version, -1 if aged is None else aged, *numbers), lane)
    return found


def _again(
    ids: Sequence[str],
    *,
    rows: Mapping[str, tuple[Counted, str]],
    held: Mapping[str, Episode],
    credit: Credit,
    lanes: LaneRules,
    episodes: Episodes,
    sessions: Mapping[str, int],
) -> tuple[SealedEpisode, ...]:
    return tuple(
        [
            sealed_episode(
                held[name],
                _choice(rows[name][1], held[name], lanes, episodes),
                credit,
                rows[name][0],
                sessions,
            )
            for name in ids
        ]
    )


def _with_people(
    held_out: Sequence[SealedEpisode], held: Mapping[str, Episode], batch_id: int
) -> tuple[SealedEpisode, ...]:
    """Return what was held out, with its users' numbers where it is preference evidence."""
    users = {
        one.generation_id: held[one.generation_id].generation.user_hash
        for one in held_out
        if one.top_p < 1.0 or not one.in_lane(RATIO)
    }
    numbers = {user: n for n, user in enumerate(in_turn(set(users.values()), batch_id), 1)}
    return tuple(
        msgspec.structs.replace(one, person=numbers[users[one.generation_id]])
        if one.generation_id in users
        else one
        for one in held_out
    )


def _choice(lane: str, episode: Episode, lanes: LaneRules, episodes: Episodes) -> LaneChoice:
    named = lane.split("+")
    correction = (
        correction_of(episode, lanes.spell) if "dpo" in named and lanes.spell is not None else None
    )
    follow_up = ""
    if "hindsight" in named:
        follow_up = follow_up_of(episode, episodes(origins_of([episode])))
    # The very object: only a default that is the same object is left out of what is hashed.
    lane = RATIO if lane == RATIO else lane
    return LaneChoice(lane=lane, correction=correction, follow_up=follow_up)


def _as_known(
    ids: Sequence[str],
    held: Mapping[str, Episode],
    episodes: Episodes,
    offsets: Mapping[str, int],
    sealed_at: float | None,
) -> Iterator[Mapping[str, Episode]]:
    """Yield the episodes with what was known when the batch was sealed, the likeliest first.

    That is by the offsets that the log had been read up to: what was received by then may have been read
    later, and may take the place of what was known. Where these tell nothing, of a log that was made anew,
    it is all that is held, or what was received before.
    """
    yield episodes(ids, offsets)
    yield held
    if sealed_at is not None:
        yield {name: _as_of(one, sealed_at) for name, one in held.items()}


def _as_of(episode: Episode, until: float) -> Episode:
    """Return an episode with what had been received of it then."""
    told = tuple(one for one in episode.feedback if one.received_at <= until)
    return msgspec.structs.replace(episode, feedback=told)
