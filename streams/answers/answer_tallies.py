"""Answer tallies: how many answers ended how, how long the oldest waits, what each variant's earned lately."""

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..events.event import Feedback
from ..events.generation import Generation
from ..events.stage import EpisodeStage
from ..state.transaction import Transaction

WAITING, TRAINED, SHADOWED = "waiting", "trained", "excluded:shadow"
LATELY_SECONDS = 3600.0
"""The window in which answers of a variant are counted."""


@dataclass(slots=True, kw_only=True)
class VariantLately:
    """Answers of one variant that were received within the window."""

    answers: int = 0
    """All of them."""
    rewarded: int = 0
    """Those that have a reward: somebody decided on them."""
    earned: float = 0.0
    """Sum of these rewards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTallies:
    """What one pass over the answers counted."""

    fates: Counter[str] = field(default_factory=Counter)
    """Generations known, by how they ended."""
    late: int = 0
    """Feedback that came after its answer was sealed or closed."""
    ready: int = 0
    """Answers that the next batch may be made of."""
    oldest_waiting: float | None = None
    """When the oldest answer that still waits was received, epoch seconds; None where none waits."""
    lately: dict[str, VariantLately] = field(default_factory=dict)
    """By variant; an experiment's arms are counted as one, so that there are never more than a few."""


def count_fates(tx: Transaction, policy: str) -> dict[str, int]:
    """Return how many generations ended how; the values sum to the generations known."""
    rows = tx.execute(
        "SELECT fate, COUNT(*) FROM episodes WHERE policy = ? AND received IS NOT NULL"
        " GROUP BY fate ORDER BY fate",
        (policy,),
    )
    return dict(rows.fetchall())


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedAnswers:
    """What one pass over the answers counted by fate, lane and version."""

    fates: dict[str, int]
    """Generations known, by how they ended."""
    late: int
    """Feedback that came after its answer was sealed or closed."""
    lanes: dict[str | None, int]
    """Answers that were trained on, by their lanes as they are kept."""
    first: dict[str, float]
    """By version, when the first answer of it was received that somebody was shown, epoch seconds."""


def answer_counts(view: Transaction, policy: str) -> CountedAnswers:
    """Count all answers of a policy in one pass, which reads every row of them."""
    try:
        rows = _by_version(view, policy, "lane")
    except sqlite3.OperationalError:
        rows = _by_version(view, policy, "'' AS lane")  # A state from before lanes were kept.
    fates, lanes, first, late = Counter[str](), Counter[str | None](), dict[str, float](), 0
    for version, lane, fate, count, of_all, came_late, oldest in rows:
        late += came_late
        if fate == TRAINED and lane != "":
            lanes[lane] += of_all
        if count:
            fates[fate] += count
            if version is not None and fate != SHADOWED:
                first[version] = min(first.get(version, oldest), oldest)
    return CountedAnswers(fates=dict(sorted(fates.items())), late=late, lanes=lanes, first=first)


def _by_version(view: Transaction, policy: str, lane: str) -> list[Any]:
    return view.execute(
        f"SELECT version, {lane}, fate, COUNT(received), COUNT(*), SUM(late), MIN(received)"
        " FROM episodes WHERE policy = ? GROUP BY version, lane, fate",
        (policy,),
    ).fetchall()


def answer_tallies(view: Transaction, policy: str, now: float) -> AnswerTallies:
    """Count all answers of a policy in one pass."""
    since = now - LATELY_SECONDS
    rows = view.execute(
        "SELECT fate, stage, variant, COUNT(received), SUM(late), MIN(received),"
        " SUM(CASE WHEN received > ? THEN 1 ELSE 0 END),"
        " SUM(CASE WHEN received > ? AND reward IS NOT NULL THEN 1 ELSE 0 END),"
        " SUM(CASE WHEN received > ? THEN reward ELSE NULL END)"
        " FROM episodes WHERE policy = ? GROUP BY fate, stage, variant",
        (since, since, since, policy),
    ).fetchall()
    fates, lately = Counter[str](), dict[str, VariantLately]()
    late, ready, waiting = 0, 0, list[float]()
    for fate, stage, variant, count, came_late, oldest, recent, rewarded, earned in rows:
        late += came_late
        if not count:
            continue  # Feedback alone has come.
        fates[fate] += count
        ready += count if stage == EpisodeStage.READY else 0
        if fate == WAITING:
            waiting.append(oldest)
        tally = lately.setdefault(variant_label(variant), VariantLately())
        tally.answers += recent
        tally.rewarded += rewarded
        tally.earned += earned or 0.0
    return AnswerTallies(
        fates=Counter(dict(sorted(fates.items()))),
        late=late,
        ready=ready,
        oldest_waiting=min(waiting, default=None),
        lately=lately,
    )


def variant_label(variant: str | None) -> str:
    """Return a variant's name as a metric's label: the arms of experiments, which are endless, are one.

    >>> variant_label("arm:b"), variant_label("champion"), variant_label(None)
    ('experiment', 'champion', 'none')
    """
    if not variant:
        return "none"
    return "experiment" if variant.startswith("arm:") else variant


def kind_label(said: Feedback | Generation) -> str:
    """Return the kind of a signal as a metric's label: kinds that this build does not know are one."""
    assert isinstance(said, Feedback)
    return str(type(said.signal).__struct_config__.tag)
