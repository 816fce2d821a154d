"""What if: what the answers of a state would be worth under another reward spec.

Both specs are asked of the same answers, so that nothing but the spec differs. An advantage is the
reward less the mean of its segment, under each spec: where its sign turns, an answer that was pulled
would be pushed away, or the other way round.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...rewards.spec.reward import Reward
from ...rewards.spec.spec import Spec
from .held_answers import HeldAnswer

Floats = NDArray[np.float64]
MOST_CHANGED = 5
"""Answers that are named, those whose reward would change most."""
SAME = 1e-9
"""Rewards and advantages that differ by less are the same."""


@dataclass(slots=True, kw_only=True)
class SegmentColumns:
    """The answers of one segment."""

    ids: list[str] = field(default_factory=list)
    """Their ids."""
    now: list[float] = field(default_factory=list)
    """Their rewards under the spec of now; nan while undecided."""
    new: list[float] = field(default_factory=list)
    """Their rewards under the new one, likewise."""


@dataclass(slots=True, kw_only=True)
class TermSum:
    """One part or cost in one segment, under one spec."""

    weight: float = 0.0
    """As the spec has it; a cost's is below 0."""
    known: int = 0
    """Decided answers of which it has a value."""
    total: float = 0.0
    """Sum of these values."""


@dataclass(slots=True, kw_only=True)
class WhatIf:
    """Two specs over the same answers."""

    now: Spec
    """The spec that counts."""
    new: Spec
    """The one that is tried."""
    segments: dict[str, SegmentColumns] = field(default_factory=dict)
    """The answers, by segment."""
    terms: dict[tuple[str, str], tuple[TermSum, TermSum]] = field(default_factory=dict)
    """Parts and costs now and new, by segment and name."""
    seconds: float = 0.0
    """How long it took."""

    def add(self, answers: Iterable[HeldAnswer]) -> None:
        """Ask both specs of these answers."""
        for answer in answers:
            segment = answer.episode.generation.segment
            rewards = answer.reward(self.now), answer.reward(self.new)
            columns = self.segments.setdefault(segment, SegmentColumns())
            columns.ids.append(answer.episode.id)
            columns.now.append(_value(rewards[0]))
            columns.new.append(_value(rewards[1]))
            for side, reward in enumerate(rewards):
                if reward is not None:
                    self._add_terms(segment, side, reward)

    def _add_terms(self, segment: str, side: int, reward: Reward) -> None:
        told = [(one.name, one.value, one.weight) for one in reward.parts]
        told += [(one.name, one.value, -one.weight) for one in reward.costs]
        for name, value, weight in told:
            both = self.terms.get((segment, name))
            if both is None:
                both = self.terms[segment, name] = TermSum(), TermSum()
            both[side].weight = weight
            if value is not None:
                both[side].known += 1
                both[side].total += value

    def document(self) -> dict[str, Any]:
        """Return what would change, for people and programs."""
        count = sum(len(one.ids) for one in self.segments.values())
        return {
            "now": self.now.version,
            "new": self.new.version,
            "answers": count,
            "seconds": round(self.seconds, 3),
            "answers_per_second": round(count / self.seconds) if self.seconds else None,
            "segments": [
                {"segment": name, **change(np.array(one.now), np.array(one.new))}
                for name, one in sorted(self.segments.items())
            ],
            "parts": [
                {"segment": segment, "part": name, "now": _told(now), "new": _told(new)}
                for (segment, name), (now, new) in sorted(self.terms.items())
            ],
            "most_changed": self._most_changed(),
        }

    def _most_changed(self) -> list[dict[str, Any]]:
        found = []
        for segment, one in self.segments.items():
            moved = np.abs(np.array(one.new) - np.array(one.now))
            moved[~(moved > SAME)] = -1.0
            for place in np.argsort(-moved, kind="stable")[:MOST_CHANGED]:
                if moved[place] > 0.0:
                    at = int(place)
                    found.append((float(moved[at]), one.ids[at], segment, one.now[at], one.new[at]))
        return [
            {"generation_id": name, "segment": segment, "now": now, "new": new}
            for _, name, segment, now, new in sorted(found, key=lambda row: -row[0])[:MOST_CHANGED]
        ]


def what_if(now: Spec, new: Spec, pages: Iterable[Sequence[HeldAnswer]]) -> WhatIf:
    """Ask two specs of all these answers."""
    began = time.perf_counter()
    found = WhatIf(now=now, new=new)
    for page in pages:
        found.add(page)
    found.seconds = time.perf_counter() - began
    return found


def change(now: Floats, new: Floats) -> dict[str, Any]:
    """Return how the rewards of one segment's answers would change; nan is undecided.

    `rank` is Spearman's correlation over the answers decided under both, None where the answers of
    either are all worth the same; `signs` the share of them whose advantage turns.
    """
    was, will = np.isfinite(now), np.isfinite(new)
    both = was & will
    a, b = now[both], new[both]
    turned = _sign(a) != _sign(b)
    return {
        "answers": len(now),
        "decided": {"now": int(was.sum()), "new": int(will.sum())},
        "becomes_decided": int((will & ~was).sum()),
        "becomes_undecided": int((was & ~will).sum()),
        "reward": {"now": _mean(now[was]), "new": _mean(new[will])},
        "changed": int((np.abs(a - b) > SAME).sum()),
        "rank": spearman(a, b),
        "signs": float(turned.mean()) if len(a) else None,
    }


def spearman(a: Floats, b: Floats) -> float | None:
    """Return Spearman's rank correlation, ties at their mean rank; None where one has no spread."""
    if len(a) < 2:
        return None
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / spread if spread else None


def ranks(values: Floats) -> Floats:
    """Return each value's rank from 0, ties at their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    mean: Floats = last - (count + 1) / 2.0
    return mean[place]


def _sign(values: Floats) -> NDArray[np.int_]:
    off = values - values.mean() if len(values) else values
    return np.where(np.abs(off) < SAME, 0, np.sign(off)).astype(int)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _value(reward: Reward | None) -> float:
    return float("nan") if reward is None else reward.value


def _told(one: TermSum) -> dict[str, Any] | None:
    if not one.weight:
        return None
    return {
        "weight": one.weight,
        "known": one.known,
        "mean": one.total / one.known if one.known else None,
    }
