"""Weighed: what each sealed episode counts, and why, as its batch is sealed and as people ask later."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ...rewards.spec.verification import FULL, Verification
from ...rewards.trust.agreement import Agreed
from ...rewards.trust.confounds import Answered, Confounds, fit_confounds
from ...rewards.trust.evidence import evidence_of
from ...rewards.trust.propensity import ResponseFeatures, ResponseModel
from ...rewards.trust.settings import TrustSettings
from ...rewards.trust.weighing import Past, PastUser, Weighed, weigh
from ...streams.events.episode import Episode
from ...streams.join import fate
from ...streams.state.transaction import Transaction

WEIGHED = """
CREATE TABLE weighed (
    policy TEXT NOT NULL, generation_id TEXT NOT NULL, batch_id INTEGER NOT NULL,
    weight REAL NOT NULL, reward REAL NOT NULL, confound REAL NOT NULL, factors TEXT NOT NULL,
    PRIMARY KEY (policy, generation_id));
CREATE TABLE weighed_by (
    policy TEXT NOT NULL, factor TEXT NOT NULL, episodes INTEGER NOT NULL, down INTEGER NOT NULL,
    PRIMARY KEY (policy, factor))
"""
"""`weighed` has a row for each sealed episode; `weighed_by` counts, of all time, those that a factor
changed, and those that it made less."""
AGREED = """
ALTER TABLE weighed ADD COLUMN agreed REAL NOT NULL DEFAULT 0;
ALTER TABLE weighed ADD COLUMN agreed_variance REAL NOT NULL DEFAULT 0
"""
"""What an episode's decision adds to the agreement of its user with others, and to that one's variance."""

BY_BATCH = """
CREATE INDEX weighed_batch ON weighed (policy, batch_id)
"""
"""The newest batches are shown without reading what all others weighed."""

RESPONSES = 4000
"""Latest answers that the response model is fitted on."""
CONFOUNDED = "confound"
"""Under this name the episodes are counted of which confounds took something off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How a deployment believes what people say."""

    settings: TrustSettings = field(default_factory=TrustSettings)
    """As configured."""
    verification: Callable[[Episode], Verification] = lambda _: FULL
    """What the reward spec says of the signals behind an episode's reward."""
    share: Callable[[Episode], float] = lambda _: 1.0
    """How much of what an episode is worth is its own, by the reward spec."""


def weigh_episodes(
    tx: Transaction,
    policy: str,
    trust: Trust,
    batch_id: int,
    judged: Sequence[tuple[Episode, float]],
) -> list[Weighed]:
    """Return what these episodes, each with its reward, count in a batch, and write it down."""
    batch = [
        evidence_of(one, reward, trust.verification(one), trust.share(one))
        for one, reward in judged
    ]
    found = weigh(batch, trust.settings, _past(tx, policy, trust.settings, batch_id))
    tx.executemany(
        "INSERT INTO weighed (policy, generation_id, batch_id, weight, reward, confound, factors,"
        " agreed, agreed_variance) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                policy,
                episode.id,
                batch_id,
                one.weight,
                one.reward,
                one.confound,
                msgspec.json.encode(one.factors, order="sorted").decode(),
                *one.agreed,
            )
            for (episode, _), one in zip(judged, found, strict=True)
        ],
    )
    _count(tx, policy, found)
    return found


def weight_of(view: Transaction, policy: str, generation_id: str) -> dict[str, Any] | None:
    """Return what a sealed episode counts, and by which factors; None where it was never weighed."""
    row = view.execute(
        "SELECT weight, reward, confound, factors FROM weighed"
        " WHERE policy = ? AND generation_id = ?",
        (policy, generation_id),
    ).fetchone()
    if row is None:
        return None
    weight, reward, confound, factors = row
    return {
        "weight": weight,
        "factors": msgspec.json.decode(factors),
        "reward": reward,
        "confound": confound,
    }


def weighed_counts(view: Transaction, policy: str) -> dict[str, tuple[int, int]]:
    """Return, by factor, how many sealed episodes it changed and how many it made less, of all time."""
    rows = view.execute(
        "SELECT factor, episodes, down FROM weighed_by WHERE policy = ? ORDER BY factor", (policy,)
    )
    return {factor: (episodes, down) for factor, episodes, down in rows.fetchall()}


def batch_weights(view: Transaction, policy: str, newest: int) -> list[dict[str, Any]]:
    """Return the newest batches: episodes, weight, and those that each factor weighed down."""
    rows = view.execute(
        "SELECT batch_id, weight, factors FROM weighed WHERE policy = ? AND batch_id >"
        " (SELECT COALESCE(MAX(batch_id), 0) FROM weighed WHERE policy = ?) - ?",
        (policy, policy, newest),
    ).fetchall()
    by_batch = defaultdict[int, list[tuple[float, dict[str, float]]]](list)
    for batch_id, weight, factors in rows:
        by_batch[batch_id].append((weight, msgspec.json.decode(factors)))
    return [_summed(batch_id, of) for batch_id, of in sorted(by_batch.items(), reverse=True)]


def weights_of(view: Transaction, policy: str, batch_id: int) -> dict[str, Any]:
    """Return the same of one batch, read by its own answers."""
    rows = view.execute(
        "SELECT w.weight, w.factors FROM episodes e JOIN weighed w ON w.policy = e.policy"
        " AND w.generation_id = e.generation_id WHERE e.policy = ? AND e.batch_id = ?",
        (policy, batch_id),
    ).fetchall()
    return _summed(batch_id, [(weight, msgspec.json.decode(factors)) for weight, factors in rows])


def _summed(batch_id: int, episodes: Sequence[tuple[float, dict[str, float]]]) -> dict[str, Any]:
    weights = [weight for weight, _ in episodes]
    squares = sum(weight * weight for weight in weights)
    return {
        "batch": batch_id,
        "episodes": len(weights),
        "weight": sum(weights),
        "effective": sum(weights) ** 2 / squares if squares else 0.0,
        "weighed_down": dict(
            sorted(Counter(n for _, f in episodes for n, by in f.items() if by < 1).items())
        ),
    }


def _count(tx: Transaction, policy: str, found: Sequence[Weighed]) -> None:
    episodes, down = Counter[str](), Counter[str]()
    for one in found:
        episodes.update(one.factors.keys())
        down.update(name for name, factor in one.factors.items() if factor < 1.0)
        if one.confound:
            episodes[CONFOUNDED] += 1
            down[CONFOUNDED] += one.confound > 0.0
    tx.executemany(
        "INSERT INTO weighed_by (policy, factor, episodes, down) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (policy, factor) DO UPDATE SET"
        " episodes = weighed_by.episodes + excluded.episodes, down = weighed_by.down + excluded.down",
        [(policy, name, episodes[name], down[name]) for name in sorted(episodes)],
    )


def _past(tx: Transaction, policy: str, settings: TrustSettings, batch_id: int) -> Past:
    """Fit on what was sealed, or censored, before."""
    sealed = _sealed_before(tx, policy, settings, batch_id)
    users = dict[tuple[str, str], PastUser]()
    for one, weight, more in sealed:
        if one.user is None:
            continue
        was = users.get(one.user)
        users[one.user] = PastUser(
            spent=weight + (was.spent if was else 0.0),
            decided=1 + (was.decided if was else 0),
            since=was.since if was else batch_id - one.batch,
            agreed=more.with_more(was.agreed) if was else more,
        )
    fitted = settings.confounds and bool(sealed)
    return Past(
        confounds=fit_confounds([one for one, _, _ in sealed]) if fitted else Confounds(),
        users=users,
        responses=_responses(tx, policy) if settings.responses == "model" else None,
    )


def _sealed_before(
    tx: Transaction, policy: str, settings: TrustSettings, batch_id: int
) -> list[tuple[Answered, float, Agreed]]:
    """Return the answers of the batches that are remembered, what each weighed, and how it agreed."""
    rows = tx.execute(
        "SELECT e.batch_id, e.segment, e.tenant, CASE WHEN e.user_named = 1 THEN e.user_hash END,"
        " e.latency, e.tokens, e.reward, COALESCE(w.weight, 1.0), COALESCE(w.agreed, 0.0),"
        " COALESCE(w.agreed_variance, 0.0) FROM episodes e"
        " LEFT JOIN weighed w ON w.policy = e.policy AND w.generation_id = e.generation_id"
        " WHERE e.policy = ? AND e.batch_id >= ? AND e.batch_id < ? AND e.reward IS NOT NULL"
        " AND e.received IS NOT NULL ORDER BY e.batch_id, e.generation_id",
        (policy, batch_id - settings.memory_batches, batch_id),
    ).fetchall()
    return [
        (
            Answered(
                batch=batch,
                segment=segment,
                user=(tenant or "", user) if user else None,
                latency=latency or 0.0,
                tokens=tokens or 0,
                reward=reward,
            ),
            weight,
            Agreed(*agreed),
        )
        for batch, segment, tenant, user, latency, tokens, reward, weight, *agreed in rows
    ]


def _responses(tx: Transaction, policy: str) -> ResponseModel | None:
    rows = tx.execute(
        "SELECT segment, latency, tokens, received, CASE WHEN fate = ? THEN 0 ELSE 1 END"
        " FROM episodes WHERE policy = ? AND received IS NOT NULL AND stage IN ('closed', 'sealed')"
        " AND (fate = ? OR reward IS NOT NULL) ORDER BY received DESC, generation_id LIMIT ?",
        (fate.NO_DECISION, policy, fate.NO_DECISION, RESPONSES),
    ).fetchall()
    answers = ResponseFeatures(
        [row[0] for row in rows],
        [row[1] or 0.0 for row in rows],
        [row[2] or 0 for row in rows],
        [row[3] for row in rows],
    )
    return ResponseModel.fit(answers, [bool(row[4]) for row in rows])
