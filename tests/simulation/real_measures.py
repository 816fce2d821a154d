"""Real measures: how well a score tells what was taken from what was not, with errors by person.

Decisions of one person are alike, and scores of two learned versions are no common scale: so pairs are
made within a stratum (a person, or a fold), and the interval is the bootstrap's over people.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
Array = NDArray[np.float64]


class Measured(NamedTuple):
    """A number and where 95 of 100 bootstraps over people find it."""

    value: float
    low: float
    high: float


class Scored(NamedTuple):
    """What was decided on and how it was scored; all of one length."""

    people: NDArray[np.int64]
    """Number of the person, from 0."""
    folds: NDArray[np.int64]
    """Number of the fold that the person was held out in."""
    good: NDArray[np.bool_]
    """Whether it was taken, or kept."""
    scores: Array
    """The higher, the likelier."""


class PairTable(NamedTuple):
    """Pairs of a good and a bad answer, by the two persons' numbers."""

    right: Array
    """[people, people] pairs in which the good one has the higher score; ties are half."""
    all: Array
    """[people, people] pairs."""
    within_people: bool
    """Whether pairs are of one person each."""

    def share(self, times: Array) -> float:
        """Return the area under the curve where each person is there so many times; NaN without a pair.

        A person drawn twice is two people of the same decisions: within people they make twice the
        pairs, in a fold four times those with each other.
        """
        weights = np.diag(times) if self.within_people else np.outer(times, times)
        total = float((weights * self.all).sum())
        return float((weights * self.right).sum()) / total if total else float("nan")


def pair_table(told: Scored, people: int, *, within_people: bool) -> PairTable:
    """Count the pairs of so many people: within people, or within folds."""
    count = people
    right, every = np.zeros((count, count)), np.zeros((count, count))
    strata = told.people if within_people else told.folds
    for stratum in np.unique(strata):
        good = np.flatnonzero((strata == stratum) & told.good)
        bad = np.flatnonzero((strata == stratum) & ~told.good)
        apart = told.scores[good][:, None] - told.scores[bad][None, :]
        won = np.where(np.abs(apart) < 1e-9, 0.5, (apart > 0).astype(float))
        rows = np.broadcast_to(told.people[good][:, None], won.shape)
        columns = np.broadcast_to(told.people[bad][None, :], won.shape)
        np.add.at(right, (rows, columns), won)
        np.add.at(every, (rows, columns), 1.0)
    return PairTable(right, every, within_people)


def drawn_times(people: int, seed: int = 0, draws: int = DRAWS) -> Array:
    """Return how often each bootstrap has each person [draws, people]."""
    draw = np.random.default_rng(seed)
    return draw.multinomial(people, np.full(people, 1.0 / people), size=draws).astype(float)


def area(told: Scored, times: Array, *, within_people: bool) -> Measured:
    """Return the area under the ROC curve: 1/2 is a coin's."""
    table = pair_table(told, times.shape[1], within_people=within_people)
    return _interval(table.share(np.ones(times.shape[1])), [table.share(one) for one in times])


def area_gain(told: Scored, other: Array, times: Array, *, within_people: bool) -> Measured:
    """Return by how much a score's area is above another's of the same decisions, in the same draws."""
    ours = pair_table(told, times.shape[1], within_people=within_people)
    theirs = pair_table(told._replace(scores=other), times.shape[1], within_people=within_people)
    once = np.ones(times.shape[1])
    return _interval(
        ours.share(once) - theirs.share(once),
        [ours.share(one) - theirs.share(one) for one in times],
    )


def rank_correlation(told: Scored, values: Array, times: Array) -> Measured:
    """Return Spearman's correlation of score and value within folds, weighted by their decisions."""
    from scipy.stats import (
        rankdata,
    )  # Half a second of a core, which collecting tests has no use for.

    def found(people: Array) -> float:
        total, sizes = 0.0, 0
        for fold in np.unique(told.folds):
            mine = np.flatnonzero(told.folds == fold)
            rows = np.repeat(mine, people[told.people[mine]].astype(int))
            if len(rows) < 3:
                continue
            one, other = rankdata(told.scores[rows]), rankdata(values[rows])
            if np.ptp(one) and np.ptp(other):
                total += len(rows) * float(np.corrcoef(one, other)[0, 1])
                sizes += len(rows)
        return total / sizes if sizes else float("nan")

    return _interval(found(np.ones(times.shape[1])), [found(one) for one in times])


def fitted(learned: Array, taken: NDArray[np.bool_], asked: Array) -> Array:
    """Return the log-odds of a logistic regression fitted on some people's decisions for others'."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(learned, taken)
    odds: Array = model.decision_function(asked)
    return odds


def _interval(value: float, draws: Sequence[float]) -> Measured:
    known = [one for one in draws if not np.isnan(one)]
    if not known:
        return Measured(value, float("nan"), float("nan"))
    low, high = np.percentile(known, (2.5, 97.5))
    return Measured(value, float(low), float(high))
