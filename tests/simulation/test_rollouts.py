"""Simulated rollouts: what is promised of promotions and rollbacks, in a short form.

Forty rollouts of each world; `make simulate` runs a thousand and writes docs/statistics.md. The
bounds leave room for chance at forty: a share of 5 % is below 8 of 40 with probability 0.999, and
one of 98 % above 35 with 0.9999.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import rollout_run
from crowd_worlds import CROWDS
from rollout_oracle import boundary, jackknife, true_change
from rollout_run import MARGIN, answers_of, simulate
from rollout_world import HOUR, WORLDS, Arm, World, draw
from simulate import DOCUMENT, METHODS, READ_IN, judged, methods_table, written

from rlwd.ops.statistics.adjusted_mean import adjusted_means
from rlwd.ops.statistics.answers import Answers, ComparisonSettings
from rlwd.ops.statistics.cohort import cohort
from rlwd.ops.statistics.look_settings import LookSettings
from rlwd.ops.statistics.metric import KNOWN, MetricSettings
from rlwd.ops.statistics.readout import read_out
from rlwd.ops.statistics.sequential_tests import width
from rlwd.ops.statistics.verdict import VerdictKind

RUNS = 40
EVERY = 4


ALL = {**WORLDS, **CROWDS}
SLOW = "equal, a look every 15 minutes"
"""Left to `make simulate`; the same of 300 users is here."""


def by_truth(wanted: str) -> list[str]:
    """Return the worlds whose truth, by the oracle, is equal or worse than the margin."""
    equal = [name for name, world in ALL.items() if abs(true_change(world)) < 1e-12]
    worse = [name for name, world in ALL.items() if true_change(world) <= -MARGIN + 1e-3]
    return {"equal": equal, "worse": worse}[wanted]


EQUAL = [
    name
    for name in by_truth("equal")
    if "answered less" not in name and "three times" not in name and name != SLOW
]
FOUND = [
    *(name for name in WORLDS if "10 points" in name and "worse" in name and "new" not in name),
    "300 users, worse by 30 points",
    "base 95 %, worse by 10 points",
    "worse by 10 points, rejections hours later",
    "worse by 10 points, the crowd changes",
]


@pytest.mark.parametrize("name", EQUAL)
def test_an_equal_candidate_is_rarely_stopped(name: str) -> None:
    """Whatever its delays, segments, base rate or crowd: neither rolled back nor held."""
    outcomes = next(simulate(ALL[name], runs=RUNS, seed=21, every=EVERY))
    assert outcomes.stopped < 8 / RUNS


@pytest.mark.parametrize("name", by_truth("worse"))
def test_what_is_worse_than_the_margin_is_rarely_promoted(name: str) -> None:
    """Whether it shows late, hides in silence, or is new at first."""
    outcomes = next(simulate(ALL[name], runs=RUNS, seed=22, every=EVERY))
    assert outcomes.promoted < 8 / RUNS


@pytest.mark.parametrize("name", FOUND)
def test_ten_points_less_are_found(name: str) -> None:
    """At once or late, with rejections reported as before or less: rolled back, or held for silence."""
    outcomes = next(simulate(ALL[name], runs=RUNS, seed=23, every=EVERY))
    assert outcomes.stopped > 35 / RUNS


def as_many_users_as_answers(seen: Answers) -> Answers:
    """Take answers for independent."""
    count = len(seen.user)
    return replace(seen, user=np.arange(count), earlier=np.full(count, np.nan))


def decided_so_far(seen: Answers) -> Answers:
    """Wait for no horizon."""
    return replace(seen, horizon=np.zeros(len(seen.user)))


def one_stratum(seen: Answers) -> Answers:
    """Compare all segments as one."""
    return replace(seen, stratum=np.zeros(len(seen.user), np.int64))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("equal, 500 users of one mind", as_many_users_as_answers),
        ("equal, acceptances hours later", decided_so_far),
        ("equal, hard segment used twice as much", one_stratum),
    ],
)
def test_a_readout_with_this_fault_would_be_seen(
    name: str, fault: Callable[[Answers], Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accuses equal candidates more often than the tests above allow."""
    monkeypatch.setattr(rollout_run, "answers_of", lambda *of: fault(answers_of(*of)))
    outcomes = next(simulate(ALL[name], runs=RUNS, seed=21, every=EVERY))
    assert outcomes.stopped >= 8 / RUNS


def test_one_that_people_answer_less_is_held_and_not_blamed() -> None:
    """What they do decide on is as good as the control's."""
    outcomes = next(simulate(WORLDS["equal, answered less"], runs=RUNS, seed=24, every=EVERY))
    assert outcomes.held > 35 / RUNS
    assert outcomes.promoted == 0


def test_one_that_fails_more_often_is_rolled_back() -> None:
    """The failures of 6 % instead of 2 % are a metric of their own."""
    outcomes = next(
        simulate(WORLDS["equal, fails three times as often"], runs=RUNS, seed=25, every=EVERY)
    )
    assert outcomes.rolled_back > 35 / RUNS


def test_a_better_candidate_is_promoted() -> None:
    """Ten points more are shown within the day."""
    outcomes = next(simulate(WORLDS["better by 10 points"], runs=RUNS, seed=26, every=EVERY))
    assert outcomes.promoted > 35 / RUNS


def first_answers(numbers: dict[str, np.ndarray], users: int) -> Answers:
    """Return one answer of each of the first users."""
    return Answers(
        user=np.arange(users),
        stratum=np.zeros(users, np.int64),
        served_at=np.zeros(users),
        horizon=np.zeros(users),
        values={name: column[:users] for name, column in numbers.items()},
        earlier=np.full(users, np.nan),
    )


def test_forty_guards_of_noise_accuse_as_rarely_as_one() -> None:
    """Alpha is split over the metrics: with all of it for each, six of these twenty are accused."""
    names = ["reward", *(f"noise_{number}" for number in range(40))]
    metrics = (
        MetricSettings(name="reward", kind="non-inferior"),
        *(MetricSettings(name=name, direction="lower") for name in names[1:]),
    )
    accused = 0
    for run in range(20):
        generator = np.random.default_rng([31, run])
        arms = [{n: generator.integers(0, 2, 400).astype(float) for n in names} for _ in range(2)]
        found = (
            read_out(
                metrics,
                *(first_answers(arm, seen) for arm in arms),
                now=1.0,
                comparison=ComparisonSettings(),
                settings=LookSettings(),
            )
            for seen in (30, 60, 120, 200, 300, 400)
        )
        accused += any(readout.verdict.outcome is VerdictKind.FAIL for readout in found)
    assert accused <= 1


def test_the_world_can_tell_methods_apart() -> None:
    """A z-test promotes what shows late and accuses equals: the worlds are hard enough."""
    late = list(
        simulate(
            WORLDS["worse by the margin, shows late"], runs=RUNS, seed=27, methods=("peeking",)
        )
    )
    hard = WORLDS["equal, hard segment used twice as much"]
    mixed = list(simulate(hard, runs=20, seed=27, methods=("fixed horizon",)))
    hours = CROWDS["equal, acceptances hours later"]
    unripe = list(simulate(hours, runs=20, seed=27, methods=("fixed horizon",)))
    assert unripe[0].rolled_back > 0.9
    assert late[0].promoted > 0.2
    assert mixed[0].rolled_back > 0.9


def test_the_oracle_agrees_with_the_estimate() -> None:
    """One stratum without a past: leaving out users one at a time gives the same variance."""
    drawn = draw(World(name="plain", users=300), Arm(), np.random.default_rng(28))
    found = cohort(answers_of(drawn, 25 * HOUR), KNOWN["reward"], 25 * HOUR, ComparisonSettings())
    assert found is not None
    y, n = found.y.sum(axis=1), found.n.sum(axis=1)
    estimate, variance = jackknife(list(y), list(n))
    plain = type(found)(y=y[:, None], n=n[:, None], earlier=np.full(len(y), np.nan))
    mean, _ = adjusted_means(plain, plain, ComparisonSettings(user_weight=1e9), bounded=True)
    assert mean.estimate == pytest.approx(estimate)
    assert mean.variance == pytest.approx(variance, rel=0.06)


@pytest.mark.parametrize(("users", "alpha"), [(30, 0.02), (300, 0.05), (5000, 0.05), (5000, 0.01)])
def test_the_oracle_agrees_with_the_boundary(users: int, alpha: float) -> None:
    """The width is where the mixture martingale reaches 1 / alpha, or up to 3 % beyond: never short."""
    exact = boundary(users, 300, alpha)
    assert exact - 1e-9 <= width(users, 300, alpha) <= 1.03 * exact


def test_the_truth_of_a_world_is_what_many_answers_show() -> None:
    """Means over a large drawn crowd agree with the oracle's integral."""
    world = WORLDS["worse by 10 points"]
    generator = np.random.default_rng(29)
    large = World(name="large", users=60_000, candidate=world.candidate)
    ours, theirs = (
        draw(large, arm, generator).good.mean() for arm in (large.candidate, large.control)
    )
    assert ours / theirs - 1 == pytest.approx(true_change(world), abs=0.02)


def test_the_document_has_a_place_for_each_table() -> None:
    """What the command writes goes between markers, and the rest of the page stays."""
    page = DOCUMENT.read_text()
    table = methods_table([judged(WORLDS["equal"], 3)])
    changed = written(page, "methods", table)
    assert table in changed
    assert changed.split("<!-- end: methods -->")[1] == page.split("<!-- end: methods -->")[1]
    with pytest.raises(ValueError, match="no place"):
        written(page, "nothing", table)


def test_the_document_shows_every_world() -> None:
    """A world without its row in the tables was not measured."""
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    named = [row.split(" | ")[0].removeprefix("| ") for row in rows]
    assert set(ALL) <= set(named)
    assert all(named.count(name) == 2 for name in READ_IN)
    assert len(METHODS) == 3
