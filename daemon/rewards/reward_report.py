"""Reward report: how much of each signal there is, whether signals agree, and how rewards drift."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

from ...rewards.spec.reward import Reward
from ...rewards.spec.spec import Spec
from ...streams.answers.answer_rows import LATEST
from ...streams.events.signals import kind_of
from ...streams.state.transaction import Transaction
from ..explain.held_answer import HeldAnswer

HALF = 0.5
"""From here on a part speaks for the answer, below it against it."""
FEW = 30
"""Values of a segment that a week needs, as the weeks before it do, before it is said to have drifted."""
DRIFTED = 3.0
"""Standard errors from the weeks before it, from which a week is said to have drifted."""


@dataclass(slots=True)
class Moments:
    """Count, mean and spread of some values."""

    count: int = 0
    """How many."""
    total: float = 0.0
    """Their sum."""
    squares: float = 0.0
    """The sum of their squares."""

    def add(self, value: float) -> None:
        """Take in one value."""
        self.merge(Moments(1, value, value * value))

    def merge(self, other: "Moments") -> None:
        """Take in all that another one has."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares

    @property
    def mean(self) -> float | None:
        """Their mean; None of none."""
        return self.total / self.count if self.count else None

    @property
    def variance(self) -> float:
        """Variance of their mean; infinite of fewer than two."""
        if self.count < 2:
            return math.inf
        mean = self.total / self.count
        return max(self.squares / self.count - mean * mean, 0.0) / (self.count - 1)


@dataclass(slots=True, kw_only=True)
class Group:
    """Answers of a segment or of a week."""

    answers: int = 0
    """How many."""
    reward: Moments = field(default_factory=Moments)
    """Of those that have one."""
    signals: Counter[str] = field(default_factory=Counter)
    """Answers with at least one signal of a kind."""
    parts: defaultdict[str, Moments] = field(default_factory=lambda: defaultdict(Moments))
    """Values of each part that is known."""

    def add(self, reward: Reward | None, kinds: Iterable[str]) -> None:
        """Take in one answer."""
        self.answers += 1
        self.signals.update(kinds)
        if reward is not None:
            self.reward.add(reward.value)
            for part in reward.parts:
                if part.value is not None:
                    self.parts[part.name].add(part.value)

    def moments(self, what: str) -> Moments:
        """Return those of the reward, or of a part."""
        return self.reward if what == "reward" else self.parts[what]


@dataclass(slots=True, kw_only=True)
class WeekGroup(Group):
    """Answers of a week."""

    segments: defaultdict[str, Group] = field(default_factory=lambda: defaultdict(Group))
    """The same by segment."""


def report_document(spec: Spec, pages: Iterable[Sequence[HeldAnswer]]) -> dict[str, Any]:
    """Return the report on these answers under a spec."""
    whole, segments = Group(), defaultdict[str, Group](Group)
    weeks = defaultdict[str, WeekGroup](WeekGroup)
    pairs = defaultdict[tuple[str, str], list[int]](lambda: [0, 0])
    for page in pages:
        for answer in page:
            episode, reward = answer.episode, answer.reward(spec)
            kinds = {kind_of(one.feedback.signal) for one in episode.feedback}
            week = datetime.fromtimestamp(episode.received_at, UTC).strftime("%G-W%V")
            segment = episode.generation.segment
            for group in (whole, segments[segment], weeks[week], weeks[week].segments[segment]):
                group.add(reward, kinds)
            for names, agree in _agreements(reward):
                pairs[names][0] += 1
                pairs[names][1] += agree
    return {
        "spec": spec.version,
        "answers": whole.answers,
        "coverage": {kind: count for kind, count in whole.signals.most_common()},
        "agreement": [
            {"parts": list(names), "answers": both, "agree": agree / both}
            for names, (both, agree) in sorted(pairs.items())
        ],
        "segments": {name: _described(one) for name, one in sorted(segments.items())},
        "weeks": _weeks(weeks),
    }


def _agreements(reward: Reward | None) -> Iterator[tuple[tuple[str, str], bool]]:
    if reward is None:
        return
    known = [(part.name, part.value >= HALF) for part in reward.parts if part.value is not None]
    for (one, a), (other, b) in combinations(known, 2):
        yield (one, other), a == b


def _described(group: Group) -> dict[str, Any]:
    return {
        "answers": group.answers,
        "decided": group.reward.count,
        "reward": group.reward.mean,
        "coverage": dict(group.signals.most_common()),
        "parts": {
            name: {"known": one.count, "mean": one.mean}
            for name, one in sorted(group.parts.items())
        },
    }


def _weeks(weeks: dict[str, WeekGroup]) -> list[dict[str, Any]]:
    found, before = list[dict[str, Any]](), defaultdict[str, Group](Group)
    for name, group in sorted(weeks.items()):
        drifted = [
            what
            for what in ("reward", *sorted(group.parts))
            if _has_drifted(
                [
                    (one.moments(what), before[key].moments(what))
                    for key, one in group.segments.items()
                ]
            )
        ]
        found.append({"week": name, **_described(group), "drifted": drifted})
        for key, one in group.segments.items():
            before[key].reward.merge(one.reward)
            for part, values in one.parts.items():
                before[key].parts[part].merge(values)
    return found


def _has_drifted(pairs: Iterable[tuple[Moments, Moments]]) -> bool:
    """Return whether a week's means moved within segments, each weighed by its share of the week.

    Other traffic is no drift: with more of a segment that is turned down more often every mean falls.
    """
    both = [
        (now, before, now.mean - before.mean)
        for now, before in pairs
        if min(now.count, before.count) >= FEW and now.mean is not None and before.mean is not None
    ]
    total = sum(now.count for now, _, _ in both)
    if not total:
        return False
    moved = math.fsum(now.count * by for now, _, by in both) / total
    error = math.sqrt(
        math.fsum(now.count**2 * (now.variance + was.variance) for now, was, _ in both)
    )
    return abs(moved) > DRIFTED * error / total


def read_specs(view: Transaction, policy: str) -> list[dict[str, Any]]:
    """Return by which spec the readings of a policy's answers are, and how many were forgotten.

    What was forgotten cannot be scored again: it stays under the spec of its time.
    """
    rows = view.execute(
        "SELECT CASE WHEN revised = 1 THEN COALESCE(late_spec, spec_version) ELSE spec_version END"
        " AS spec, COUNT(*), SUM(CASE WHEN content IS NULL THEN 1 ELSE 0 END) FROM episodes"
        f" WHERE policy = ? AND ({LATEST}) IS NOT NULL GROUP BY spec ORDER BY 2 DESC",
        (policy,),
    ).fetchall()
    return [
        {"spec": spec or "", "answers": count, "forgotten": forgotten}
        for spec, count, forgotten in rows
    ]
