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

from ...rewards.spec.reward import Reward
from ...rewards.spec.scorer import Scorer
from ...rewards.spec.spec import Spec
from ...rewards.trust.prompts import Cluster
from ...rewards.trust.settings import TrustSettings
from ...streams.join.ingest import without_collector
from ..explain.held_answer import HeldAnswer
from .learner_view import LearnerView, Seen, learner_change
from .rank_agreement import SAME, Floats, kendall, mean_of, sign_of, spearman

BATCH = 256
"""Answers that are weighed together where nobody says how many a batch has."""
LEFT_OUT = (
    "what is fitted on earlier batches: what latency and user add to a reward, who answers at all,"
    " and what users weighed and how they agreed before"
)
"""What the learner would see of these answers besides, and both specs are asked without."""
MOST_CHANGED = 5
"""Answers that are named, those whose reward would change most."""


@dataclass(slots=True, kw_only=True)
class SegmentColumns:
    """The answers of one segment."""

    ids: list[str] = field(default_factory=list)
    """Their ids."""
    now: list[float] = field(default_factory=list)
    """Their rewards under the spec of now; nan while undecided."""
    new: list[float] = field(default_factory=list)
    """Their rewards under the new one, likewise."""
    seen: tuple[list[Seen], list[Seen]] = field(default_factory=lambda: ([], []))
    """What the learner would see of them under each."""


@dataclass(slots=True, kw_only=True)
class TermSum:
    """One part or cost in one segment, under one spec."""

    weight: float = 0.0
    """As the spec has it; a cost's is below 0."""
    known: int = 0
    """Decided answers of which it has a value."""
    total: float = 0.0
    """Sum of these values."""
    values: dict[int, float] = field(default_factory=dict)
    """These values, by the answer's place in its segment."""


@dataclass(slots=True, kw_only=True)
class WhatIf:
    """Two specs over the same answers."""

    now: Spec
    """The spec that counts."""
    new: Spec
    """The one that is tried."""
    trust: TrustSettings = field(default_factory=TrustSettings)
    """How far what people say is believed."""
    batch: int = BATCH
    """Answers of a batch."""
    segments: dict[str, SegmentColumns] = field(default_factory=dict)
    """The answers, by segment."""
    terms: dict[tuple[str, str], tuple[TermSum, TermSum]] = field(default_factory=dict)
    """Parts and costs now and new, by segment and name."""
    seconds: float = 0.0
    """How long it took."""

    def add(self, answers: Sequence[HeldAnswer]) -> None:
        """Ask both specs of these answers."""
        asked = [
            [(answer.as_by(spec), answer.reward(spec)) for answer in answers]
            for spec in (self.now, self.new)
        ]
        alike = dict[tuple[str, ...], list[Cluster]]()
        views = [
            LearnerView(Scorer(spec), self.trust, self.batch).of(one, alike)
            for spec, one in zip((self.now, self.new), asked, strict=True)
        ]
        for place, answer in enumerate(answers):
            segment = answer.episode.generation.segment
            rewards = [one[place][1] for one in asked]
            columns = self.segments.setdefault(segment, SegmentColumns())
            for side, reward in enumerate(rewards):
                columns.seen[side].append(views[side][place])
                if reward is not None:
                    self._add_terms(segment, side, reward, len(columns.ids))
            columns.ids.append(answer.episode.id)
            columns.now.append(_value(rewards[0]))
            columns.new.append(_value(rewards[1]))

    def _add_terms(self, segment: str, side: int, reward: Reward, place: int) -> None:
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
                both[side].values[place] = value

    def document(self) -> dict[str, Any]:
        """Return what would change, for people and programs."""
        count = sum(len(one.ids) for one in self.segments.values())
        return {
            "now": self.now.version,
            "new": self.new.version,
            "answers": count,
            "seconds": round(self.seconds, 3),
            "answers_per_second": round(count / self.seconds) if self.seconds else None,
            "left_out": LEFT_OUT,
            "segments": [
                {
                    "segment": name,
                    **change(np.array(one.now), np.array(one.new)),
                    "learner": learner_change(*one.seen),
                }
                for name, one in sorted(self.segments.items())
            ],
            "parts": [
                {
                    "segment": segment,
                    "part": name,
                    "now": _told(now),
                    "new": _told(new),
                    "tau": agreement(now, new),
                }
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


def agreement(now: TermSum, new: TermSum) -> float | None:
    """Return Kendall's tau-b of a part's values under two specs, over the answers that have both."""
    common = now.values.keys() & new.values.keys()
    places = sorted(common)
    return kendall(
        np.array([now.values[one] for one in places], float),
        np.array([new.values[one] for one in places], float),
    )


def what_if(
    now: Spec,
    new: Spec,
    pages: Iterable[Sequence[HeldAnswer]],
    trust: TrustSettings | None = None,
    batch: int = BATCH,
) -> WhatIf:
    """Ask two specs of all these answers, weighed by `trust` in batches of so many."""
    began = time.perf_counter()
    found = WhatIf(now=now, new=new, trust=trust or TrustSettings(), batch=batch)
    for page in pages:
        with without_collector():
            found.add(page)
    found.seconds = time.perf_counter() - began
    return found


def change(now: Floats, new: Floats) -> dict[str, Any]:
    """Return how the rewards of one segment's answers would change; nan is undecided.

    `rank` is Spearman's correlation and `tau` Kendall's tau-b over the answers decided under both, None where the answers of
    either are all worth the same; `signs` the share of them whose advantage turns.
    """
    was, will = np.isfinite(now), np.isfinite(new)
    both = was & will
    a, b = now[both], new[both]
    turned = sign_of(a - a.mean()) != sign_of(b - b.mean()) if len(a) else np.array([], bool)
    return {
        "answers": len(now),
        "decided": {"now": int(was.sum()), "new": int(will.sum())},
        "becomes_decided": int((will & ~was).sum()),
        "becomes_undecided": int((was & ~will).sum()),
        "reward": {"now": mean_of(now[was]), "new": mean_of(new[will])},
        "changed": int((np.abs(a - b) > SAME).sum()),
        "rank": spearman(a, b),
        "tau": kendall(a, b),
        "signs": float(turned.mean()) if len(a) else None,
    }


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
