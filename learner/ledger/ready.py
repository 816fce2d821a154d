"""Ready: the episodes that may be sealed, as their rows say: of the newest version, and decided last."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...streams.events.stage import EpisodeStage
from ...streams.state.transaction import Transaction, row_lock
from ..candidate import sequence_of
from .batch_settings import BatchSettings
from .passed_over import Decided
from .user_share import beyond_share, in_turn, of_users

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
    """Its policy age now; -1 where no version of this policy served it."""
    user: str | None
    """Hash of the user whom it answered; None where the product named nobody."""
    decided: Decided
    """What is compared with the episodes that are too old."""


def ready_rows(tx: Transaction, policy: str, spec_version: str | None) -> list[ReadyRow]:
    """Return what may be sealed, by one spec alone; what was decided last comes first.

    The order is that of decisions, not of answers: where more comes than the learner takes, what it takes is
    soon served, and people who decide late are in it as often as those who decide at once.
    """
    rows = tx.execute(
        "SELECT generation_id, version, reward, revision,"
        " CASE WHEN user_named = 1 THEN user_hash END, segment, received, spec_version, scored_at"
        " FROM episodes"
        f" WHERE policy = ? AND stage = '{EpisodeStage.READY}' ORDER BY generation_id"
        + row_lock(tx),
        (policy,),
    ).fetchall()
    ready = sorted(rows, key=lambda row: (row[6], row[0]))
    spec = spec_version or (ready[0][7] if ready else None)
    decided = sorted(ready, key=lambda row: row[8] or 0.0, reverse=True)
    return [row[:6] for row in decided if row[7] == spec]


def waits_for(tx: Transaction, policy: str, settings: BatchSettings) -> str:
    """Return what the next batch waits for, for people: other users only where there are answers enough."""
    if settings.users > 1:
        (answers, named, unnamed) = tx.execute(
            "SELECT COUNT(*), COUNT(DISTINCT CASE WHEN user_named = 1 THEN user_hash END),"
            " COUNT(CASE WHEN user_named = 0 OR user_hash IS NULL THEN 1 END) FROM episodes"
            f" WHERE policy = ? AND stage = '{EpisodeStage.READY}'",
            (policy,),
        ).fetchone()
        users = named + bool(unnamed)
        if answers >= settings.episodes and users < settings.users:
            return f"waiting for other people: answers to {users} of {settings.users} users"
    return "waiting for episodes"


def by_age(
    rows: Sequence[ReadyRow], age: Age, max_policy_age: int, oldest: int = -1
) -> tuple[list[ReadyEpisode], list[Decided]]:
    """Return the episodes within the bound, those of the newest version first, and the others.

    `oldest` is the bound of the lanes beside the ratio lane, -1 where none is on. They take answers
    that no version of this policy gave, too, after all others.
    """
    fresh, too_old = list[ReadyEpisode](), list[Decided]()
    for generation_id, version, reward, revision, user, segment in rows:
        policy_age, decided = age(version), Decided(generation_id, segment, reward)
        if policy_age is None and oldest >= 0 and _imported(version):
            policy_age = -1
        if policy_age is None or policy_age > max(max_policy_age, oldest):
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
    return sorted(fresh, key=lambda episode: (episode.age < 0, episode.age)), too_old


def wanted_of(
    fresh: Sequence[ReadyEpisode], settings: BatchSettings
) -> tuple[Sequence[ReadyEpisode], list[str]]:
    """Return those that a batch would be of, the first of them first, and the ids beyond one user's share of all."""
    out = beyond_share([one.user for one in fresh], settings.user_share)
    within = [one for one, beyond in zip(fresh, out, strict=True) if not beyond]
    gone = [one.generation_id for one, beyond in zip(fresh, out, strict=True) if beyond]
    places = in_turn([one.user for one in within], settings.user_share, settings.at_most)
    turn = [within[place] for place in places]
    users = [one.user for one in turn]
    return of_users(turn, users, settings.users, settings.at_most), gone


def _imported(version: str) -> bool:
    """Whether that is no version that a learner of ours made."""
    try:
        sequence_of(version)
    except ValueError:
        return True
    return False
