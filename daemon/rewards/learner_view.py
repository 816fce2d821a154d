"""Learner view: what of an answer's reward the learner would see: freed of noise, with its weight and credit."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...rewards.spec.reward import Reward
from ...rewards.spec.scorer import Scorer
from ...rewards.spec.token_credit import edit_share
from ...rewards.trust.evidence import evidence_of
from ...rewards.trust.prompts import Cluster, prompt_clusters
from ...rewards.trust.settings import TrustSettings
from ...rewards.trust.weighing import Past, weigh
from ...streams.events.episode import Episode
from .rank_agreement import Floats, mean_of, sign_of


class Seen(NamedTuple):
    """One answer, as the learner would see it."""

    reward: float
    """Freed of the bias of noisy signals; nan while undecided."""
    weight: float
    """How much it counts in its batch; likewise."""
    credit: float
    """How far its tokens' credit is apart: what a token that an edit left has more than a deleted one;
    0 where all tokens have the same."""


UNSEEN = Seen(math.nan, math.nan, math.nan)


class LearnerView:
    """Asks what the learner would see of answers under one spec."""

    def __init__(self, scorer: Scorer, trust: TrustSettings, batch: int) -> None:
        """Answers are weighed so many at a time, as they would be in one batch."""
        self.scorer, self.trust, self.batch = scorer, trust, batch

    def of(
        self,
        answers: Sequence[tuple[Episode, Reward | None]],
        alike: dict[tuple[str, ...], list[Cluster]],
    ) -> list[Seen]:
        """Return what it would see of each answer with its reward.

        Those that are decided stand in batches of their own, in order. What is fitted on the batches
        before (confounds, who answers at all, what a user's answers weighed so far) is left out. `alike`
        keeps which prompts of a batch are, by its answers, for another spec that decides the same.
        """
        spec = self.scorer.spec
        decided = [(at, one, worth) for at, (one, worth) in enumerate(answers) if worth is not None]
        found = [UNSEEN] * len(answers)
        for start in range(0, len(decided), self.batch):
            batch = decided[start : start + self.batch]
            evidence = [
                evidence_of(one, worth.value, spec.verification(one), self.scorer.share(one))
                for _, one, worth in batch
            ]
            ids = tuple(one.id for _, one, _ in batch)
            if ids not in alike:
                alike[ids] = prompt_clusters([one.prompt for one in evidence])
            told = weigh(evidence, self.trust, Past(), alike[ids])
            for (at, one, _), weighed in zip(batch, told, strict=True):
                found[at] = Seen(weighed.reward, weighed.weight, edit_share(spec, one))
        return found


def learner_change(now: Sequence[Seen], new: Sequence[Seen]) -> dict[str, Any]:
    """Return how what the learner sees of one segment's answers would change.

    Means of the rewards freed of noise (each by its weight), of the weights, and of the credit's spread
    over the answers that have one; `signs` is the share of the answers, decided under both, whose
    advantage turns: the reward less the segment's weighted mean.
    """
    sides = [np.array(one, float).reshape(-1, 3) for one in (now, new)]
    known = [np.isfinite(one[:, 0]) for one in sides]
    both = known[0] & known[1]
    signs = [
        sign_of(one[:, 0] - _weighted(one[is_known]))[both]
        for one, is_known in zip(sides, known, strict=True)
    ]
    told = [
        {
            "reward": _weighted(one[is_known]) if is_known.any() else None,
            "weight": mean_of(one[is_known, 1]),
            "credit": mean_of(one[one[:, 2] > 0.0, 2]),
            "credited": int((one[:, 2] > 0.0).sum()),
        }
        for one, is_known in zip(sides, known, strict=True)
    ]
    return {
        **{key: {"now": told[0][key], "new": told[1][key]} for key in told[0]},
        "signs": float((signs[0] != signs[1]).mean()) if both.any() else None,
    }


def _weighted(seen: Floats) -> float:
    """Return the mean reward by weight; the plain one where nothing weighs."""
    total = seen[:, 1].sum()
    if not len(seen):
        return 0.0
    return float(seen[:, 0] @ seen[:, 1] / total) if total else float(seen[:, 0].mean())
