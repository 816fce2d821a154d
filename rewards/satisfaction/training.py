"""Training: a reader from messages beside decisions, with evidence from people whom it had not met.

The folds are of people: every message is scored by a model that saw none of its person's, and
calibrated by the scores of the other folds alone (Platt 1999). What the reader uses then is trained on
all of them, and calibrated by all of those scores.
"""

import hashlib
import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from ..trust.caps import share_level
from .agreement import agreement
from .features import matrix
from .labels import Labelled
from .learned import LearnedReader, ReaderEvidence

FOLDS = 5
LEAST_LABELS = 200
"""Below so many labels a reader is silent: its calibration could not be told from chance."""
LEAST_OF_A_KIND = 20
"""Of satisfied and of dissatisfied ones each."""
PERSON_SHARE = 0.02
"""Largest share of the labels that are one person's, or twice an equal part where that is more: nobody
teaches a reader alone what everybody else means."""
STRENGTH = 0.5
"""Inverse of the penalty on the weights."""


class TooLittle(ValueError):
    """There is too little to learn from; the message says of what."""


def train(labelled: Sequence[Labelled], *, least: int = LEAST_LABELS) -> LearnedReader:
    """Return a reader; the same messages in any order give the same one, bit for bit.

    Of who has more labels than `PERSON_SHARE` allows the newest count. Raises TooLittle below `least`
    of those that count, `FOLDS` people, or `LEAST_OF_A_KIND` of a kind.
    """
    found = _shared(labelled)
    labels = np.array([one.satisfied for one in found], dtype=bool)
    _check(found, labels, least)
    rows, fold = matrix([one.message for one in found]), _folds(found)
    scores = np.zeros(len(found))
    for held in range(FOLDS):
        weights, intercept = _fit(rows[fold != held], labels[fold != held])
        scores[fold == held] = rows[fold == held] @ weights + intercept
    values = np.zeros(len(found))
    for held in range(FOLDS):
        slope, offset = _calibrate(scores[fold != held], labels[fold != held])
        values[fold == held] = 1.0 / (1.0 + np.exp(-(slope * scores[fold == held] + offset)))
    weights, intercept = _fit(rows, labels)
    slope, offset = _calibrate(scores, labels)
    return LearnedReader(
        weights=weights,
        intercept=intercept,
        slope=slope,
        offset=offset,
        evidence=ReaderEvidence(
            labels=len(found),
            people=len({one.person for one in found}),
            oldest=min(one.at for one in found),
            newest=max(one.at for one in found),
            data=hashlib.sha256(msgspec.json.encode(found)).hexdigest(),
            held_out=agreement([float(v) for v in values], [bool(one) for one in labels]),
        ),
    )


def _shared(labelled: Sequence[Labelled]) -> list[Labelled]:
    """Return the labels that count, in one order: the newest of who has more than a person's share."""
    by_person = defaultdict[str, list[Labelled]](list)
    for one in sorted(labelled, key=lambda one: (one.at, one.message.text, one.satisfied)):
        by_person[one.person].append(one)
    most = int(share_level([len(each) for each in by_person.values()], PERSON_SHARE))
    return [one for _, each in sorted(by_person.items()) for one in each[-max(most, 1) :]]


def _check(found: Sequence[Labelled], labels: Any, least: int) -> None:
    if len(found) < least:
        raise TooLittle(f"{len(found)} messages beside decisions, of {least} at least")
    people = len({one.person for one in found})
    if people < FOLDS:
        raise TooLittle(f"messages of {people} people, of {FOLDS} at least")
    fewest = min(int(labels.sum()), int((~labels).sum()))
    if fewest < LEAST_OF_A_KIND:
        raise TooLittle(
            f"{fewest} decisions of the rarer kind (taken, turned down), of {LEAST_OF_A_KIND} at least"
        )


def _folds(found: Sequence[Labelled]) -> Any:
    """Return each message's fold: whole people, the largest first into the smallest fold."""
    counts = Counter(one.person for one in found)
    sizes, of = [0] * FOLDS, dict[str, int]()
    for person, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        of[person] = min(range(FOLDS), key=lambda fold: (sizes[fold], fold))
        sizes[of[person]] += count
    return np.array([of[one.person] for one in found])


def _fit(rows: Any, labels: Any) -> tuple[Any, float]:
    from sklearn.linear_model import LogisticRegression

    if labels.all() or not labels.any():
        return np.zeros(rows.shape[1]), 0.0
    model = LogisticRegression(C=STRENGTH, solver="liblinear", random_state=0, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows, labels)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def _calibrate(scores: Any, labels: Any) -> tuple[float, float]:
    """Return slope and offset by Platt's targets, which keep a few labels from being certain."""
    yes, no = int(labels.sum()), int((~labels).sum())
    targets = np.where(labels, (yes + 1.0) / (yes + 2.0), 1.0 / (no + 2.0))
    slope, offset = 1.0, 0.0
    for _ in range(100):
        chance = 1.0 / (1.0 + np.exp(-np.clip(slope * scores + offset, -30.0, 30.0)))
        wrong, spread = chance - targets, chance * (1.0 - chance) + 1e-12
        first = np.array([wrong @ scores, wrong.sum()])
        second = np.array(
            [
                [spread @ (scores * scores) + 1e-9, spread @ scores],
                [spread @ scores, spread.sum() + 1e-9],
            ]
        )
        step = np.linalg.solve(second, first)
        slope, offset = slope - float(step[0]), offset - float(step[1])
        if np.abs(step).max() < 1e-10:
            break
    if slope < 0.0:
        # What speaks for an answer never speaks against it: then the scores say nothing.
        return 0.0, math.log((yes + 1.0) / (no + 1.0))
    return slope, offset
