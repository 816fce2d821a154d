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
from .held_answers import HeldAnswer

HALF = 0.5
"""From here on a part speaks for the answer, below it against it."""
FEW = 30
"""Values that a week needs before it is said to have drifted."""
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
        self.count, self.total, self.squares = (
            self.count + 1,
            self.total + value,
            self.squares + value * value,
        )

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


def report_document(spec: Spec, pages: Iterable[Sequence[HeldAnswer]]) -> dict[str, Any]:
    """Return the report on these answers under a spec."""
    whole, segments, weeks = Group(), defaultdict[str, Group](Group), defaultdict[str, Group](Group)
    pairs = defaultdict[tuple[str, str], list[int]](lambda: [0, 0])
    for page in pages:
        for answer in page:
            episode, reward = answer.episode, answer.reward(spec)
            kinds = {kind_of(one.feedback.signal) for one in episode.feedback}
            week = datetime.fromtimestamp(episode.received_at, UTC).strftime("%G-W%V")
            for group in (whole, segments[episode.generation.segment], weeks[week]):
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


def _weeks(weeks: dict[str, Group]) -> list[dict[str, Any]]:
    found, before = [], Group()
    for name, group in sorted(weeks.items()):
        measured = [("reward", group.reward, before.reward)]
        measured += [
            (f"{part}", one, before.parts[part]) for part, one in sorted(group.parts.items())
        ]
        drifted = [what for what, now, was in measured if _has_drifted(now, was)]
        found.append({"week": name, **_described(group), "drifted": drifted})
        for _, now, was in measured:
            was.count, was.total, was.squares = (
                was.count + now.count,
                was.total + now.total,
                was.squares + now.squares,
            )
    return found


def _has_drifted(now: Moments, before: Moments) -> bool:
    if min(now.count, before.count) < FEW or now.mean is None or before.mean is None:
        return False
    error = math.sqrt(now.variance + before.variance)
    return abs(now.mean - before.mean) > DRIFTED * error


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
