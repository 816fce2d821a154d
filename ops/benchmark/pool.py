"""Pool: the answers of production whose requests may be drawn, and why others may not."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ...learner.drawn_people import drawn_number
from ...streams.answers.answer_rows import NAMED
from ...streams.events.generation import SHADOW, SIDE, Generation
from ...streams.events.stage import EpisodeStage
from ...streams.join import fate
from ...streams.redaction.privacy import PrivacySettings
from ...streams.sessions.contents import load_contents
from ...streams.state.transaction import Transaction
from .settings import BenchmarkSettings

AT_ONCE = 200
"""Records that are read at once."""
TIMES = 5
"""So many times the size of a benchmark are looked at: some overlap with what was trained on."""
LEARNED = f"(fate = '{fate.TRAINED}' OR stage = '{EpisodeStage.SEALED}')"
"""What was trained on, or is being."""

_BEFORE = (
    "SELECT DISTINCT COALESCE(tenant, ''), session_id, COALESCE(user_hash, ''),"
    f" {LEARNED} FROM episodes WHERE policy = ? AND received < ? AND session_id IS NOT NULL"
)
"""Who was in which session before then, and whether something of it was learned from."""


class PoolRow(NamedTuple):
    """One answer, as its row says."""

    generation_id: str
    """Its id."""
    session: tuple[str, str]
    """Tenant and session."""
    user: str
    """Hashed user."""
    segment: str
    """Kind of work."""
    received: float
    """Epoch seconds."""


class Pool(NamedTuple):
    """What may be drawn."""

    rows: tuple[PoolRow, ...]
    """In the order in which they are drawn: of people first of whom nothing was learned."""
    refused: Counter[str]
    """Others, by why."""
    production: Mapping[str, float]
    """Share of each segment among all answers that are held."""
    people: int
    """People who were answered."""
    learned_of: frozenset[str]
    """People of whom something was ever learned."""


def read_pool(
    view: Transaction, policy: str, settings: BenchmarkSettings, since: float, seed: str
) -> Pool:
    """Return the answers since then whose sessions teach nothing, in an order drawn by `seed`."""
    refused, users = Counter[str](), defaultdict[tuple[str, str], set[str]](set)
    taught, told = set[tuple[str, str]](), list[PoolRow]()
    for tenant, session, user, learned in view.execute(_BEFORE, (policy, since)).fetchall():
        users[tenant, session].add(user)
        if learned:
            taught.add((tenant, session))
    for row, learned, why in _answers(view, policy, since):
        users[row.session].add(row.user)
        if learned:
            taught.add(row.session)
        if why:
            refused[why] += 1
        elif why is not None:
            told.append(row)
    found = list[PoolRow]()
    for one in told:
        if one.session in taught:
            refused["session_trained"] += 1
        elif len(users[one.session]) > 1:
            refused["several_people"] += 1
        elif settings.segments and one.segment not in settings.segments:
            refused["other_segment"] += 1
        else:
            found.append(one)
    learned_of = _learned_of(view, policy)
    found.sort(
        key=lambda one: (one.user in learned_of, drawn_number(f"{seed}/{one.generation_id}"))
    )
    segments = Counter(one.segment for one in told)
    shares = {name: many / segments.total() for name, many in sorted(segments.items())}
    people = {one.user for one in told}
    return Pool(tuple(found), refused, shares, len(people), learned_of)


def _answers(
    view: Transaction, policy: str, since: float
) -> Iterator[tuple[PoolRow, bool, str | None]]:
    """Yield each answer with whether it was learned from, and why it is not drawn by its row alone.

    Empty where it may be; None for one that nobody asked for, which is not counted.
    """
    rows = view.execute(
        "SELECT generation_id, COALESCE(tenant, ''), COALESCE(session_id, ''), user_hash,"
        f" COALESCE(segment, 'default'), received, {LEARNED}, {NAMED}, content IS NOT NULL, fate,"
        " COALESCE(variant, '') FROM episodes WHERE policy = ? AND received >= ?"
        " ORDER BY received, generation_id",
        (policy, since),
    )
    for name, tenant, session, user, segment, received, learned, *rest in rows.fetchall():
        named, held, ended, variant = rest
        row = PoolRow(name, (tenant, session), user or "", segment, received)
        if variant in (SHADOW, SIDE) or ended in (fate.MIRRORED, fate.SIDE_REQUEST):
            yield row, bool(learned), None
        else:
            yield row, bool(learned), _unusable(bool(held), bool(named), ended)


def _unusable(held: bool, named: bool, ended: str) -> str:
    """Return why an answer is not to be drawn, by its row."""
    if ended == fate.NO_CONSENT:
        return "no_consent"
    if not held:
        return "not_held"
    return "" if named else "unnamed_user"


def _learned_of(view: Transaction, policy: str) -> frozenset[str]:
    rows = view.execute(
        f"SELECT DISTINCT user_hash FROM episodes WHERE policy = ? AND {LEARNED}", (policy,)
    ).fetchall()
    return frozenset(user for (user,) in rows)


def quotas(size: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Return how many of each segment, by the largest remainder; at least one of each where there is room.

    >>> quotas(10, {"code": 0.66, "title": 0.34})
    {'code': 7, 'title': 3}
    """
    whole = {name: int(size * share) for name, share in shares.items()}
    left = sorted(shares, key=lambda name: (whole[name] - size * shares[name], name))
    for name in left[: size - sum(whole.values())]:
        whole[name] += 1
    for name in sorted(name for name in whole if not whole[name]):
        largest = max(whole, key=lambda one: (whole[one], one))
        if whole[largest] > 1:
            whole[largest] -= 1
            whole[name] = 1
    return whole


def narrowed(pool: Pool, settings: BenchmarkSettings) -> list[PoolRow]:
    """Return the rows whose records are looked at: few of one person, one of a session, some to spare."""
    of, sessions, taken = Counter[str](), set[tuple[str, str]](), Counter[str]()
    wanted = {name: TIMES * many for name, many in quotas(settings.size, shares_of(pool)).items()}
    found = []
    for one in pool.rows:
        if taken[one.segment] >= wanted[one.segment]:
            continue
        if one.session in sessions or of[one.user] >= settings.per_person:
            pool.refused["same_session" if one.session in sessions else "same_person"] += 1
            continue
        sessions.add(one.session)
        of[one.user] += 1
        taken[one.segment] += 1
        found.append(one)
    return found


def shares_of(pool: Pool) -> dict[str, float]:
    """Return the shares of the segments that something may be drawn of."""
    there = {one.segment for one in pool.rows}
    total = sum(share for name, share in pool.production.items() if name in there)
    return {name: share / total for name, share in pool.production.items() if name in there}


def usable(
    view: Transaction,
    policy: str,
    rows: Sequence[PoolRow],
    settings: BenchmarkSettings,
    privacy: PrivacySettings,
    refused: Counter[str],
) -> dict[str, Generation]:
    """Return the records that a version can be asked again; the others are counted by why not."""
    found = dict[str, Generation]()
    for name, data in _records(view, policy, [one.generation_id for one in rows]):
        if why := _unasked(privacy.agreed(data), settings):
            refused[why] += 1
        else:
            found[name] = data
    return found


def _unasked(data: Generation, settings: BenchmarkSettings) -> str:
    if not data.may_train:
        return "no_consent"
    if data.redacted:
        return "redacted"
    if not data.prompt_token_ids:
        return "no_tokens"
    if len(data.prompt_token_ids) > settings.prompt_tokens:
        return "too_long"
    if any(one.attachments for one in data.input):
        return "attachments"
    return "constrained" if data.sampling.constrained else ""


def trained(view: Transaction, policy: str) -> tuple[Iterator[Generation], int]:
    """Return what was trained on and is held, record by record, and how many are held no more."""
    rows = view.execute(
        f"SELECT generation_id, content IS NOT NULL FROM episodes WHERE policy = ? AND {LEARNED}"
        " ORDER BY generation_id",
        (policy,),
    ).fetchall()
    held = [name for name, is_held in rows if is_held]
    return (data for _, data in _records(view, policy, held)), len(rows) - len(held)


def _records(
    view: Transaction, policy: str, ids: Sequence[str]
) -> Iterator[tuple[str, Generation]]:
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        held = load_contents(view, policy, some)
        yield from ((name, held[name].event.data) for name in some if name in held)


def within(
    pool: Pool,
    rows: Iterable[PoolRow],
    settings: BenchmarkSettings,
    before: frozenset[str],
) -> list[PoolRow]:
    """Return what is drawn: each segment's share, few of the people, few of the version `before`."""
    left = quotas(settings.size, shares_of(pool))
    most_people = int(settings.people_share * pool.people)
    most_shared = int(settings.shared * settings.size)
    people, found = set[str](), list[PoolRow]()
    for one in rows:
        if not left[one.segment]:
            continue
        if one.user not in people and len(people) >= most_people:
            pool.refused["people_share"] += 1
        elif one.generation_id in before and not most_shared:
            pool.refused["in_the_version_before"] += 1
        else:
            most_shared -= one.generation_id in before
            people.add(one.user)
            left[one.segment] -= 1
            found.append(one)
    return found
