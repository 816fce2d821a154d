"""Readouts: what many metrics show together, and what follows."""

import dataclasses
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from answers_by_hand import answers

from rlwd.ops.statistics.answers import Answers, ComparisonSettings
from rlwd.ops.statistics.look_settings import LookSettings
from rlwd.ops.statistics.metric import MetricSettings
from rlwd.ops.statistics.readout import Readout, read_out
from rlwd.ops.statistics.verdict import VerdictKind

GOAL = MetricSettings(name="reward", kind="non-inferior", margin=0.1)


def people(
    good: float,
    users: int = 2000,
    seed: int = 0,
    failed: Sequence[float] | None = None,
    latency: Sequence[float] | None = None,
) -> Answers:
    """One decided answer of each user."""
    generator = np.random.default_rng(seed)
    numbers = {"reward": [float(x) for x in generator.random(users) < good]}
    more = {"failed": failed, "latency": latency}
    numbers |= {name: list(column) for name, column in more.items() if column is not None}
    seen = answers(user=range(users))
    values = {name: np.array(column) for name, column in numbers.items()}
    return dataclasses.replace(seen, values=values)


def read(ours: Answers, theirs: Answers, *metrics: MetricSettings, **settings: float) -> Readout:
    return read_out(
        metrics or (GOAL,),
        ours,
        theirs,
        now=1e9,
        comparison=ComparisonSettings(),
        settings=LookSettings(promote_planned_users=1000, **settings),  # type: ignore[arg-type]
    )


def test_a_candidate_as_good_passes_and_says_by_how_much() -> None:
    """The verdict names the metric, both values and the users."""
    seen = read(people(0.8, seed=1), people(0.8, seed=3))
    assert seen.verdict.outcome is VerdictKind.PASS
    assert "reward 0.797 against 0.801" in seen.verdict.reason
    assert seen.verdict.numbers["reward/users"] == 2000
    assert seen.verdict.numbers["reward/low"] > -0.1


def test_a_candidate_that_is_worse_fails() -> None:
    """Harm in a metric that rolls back."""
    seen = read(people(0.7, seed=1), people(0.8, seed=2))
    assert seen.verdict.outcome is VerdictKind.FAIL
    assert not seen.held


def test_harm_in_a_metric_that_holds_is_no_blame() -> None:
    """Whom people answer less is held: neither promoted nor refused."""
    nan = float("nan")
    silent = answers(user=range(2000), reward=[1, 1, 1, 0, nan, nan, nan, nan, nan, nan] * 200)
    loud = answers(user=range(2000), reward=[1, 1, 1, 1, 1, 1, 0, 0, nan, nan] * 200)
    rate = MetricSettings(name="feedback_rate", on_harm="hold")
    seen = read(silent, loud, GOAL, rate)
    assert seen.verdict.outcome is VerdictKind.WAIT
    assert seen.held
    assert "held: feedback_rate 0.4" in seen.verdict.reason


def test_the_margin_is_relative_to_the_base() -> None:
    """At a base rate of 1 % a candidate that loses half of it is never within a margin of 10 %."""
    seen = read(people(0.005, 20000, seed=1), people(0.01, 20000, seed=2))
    assert seen.verdict.outcome is not VerdictKind.PASS
    assert not seen.looks[0].shown


def test_a_superior_goal_needs_more_than_being_as_good() -> None:
    """Equal is not better; ten points more are better by five percent."""
    superior = MetricSettings(name="reward", kind="superior", margin=0.05)
    assert (
        read(people(0.8, seed=1), people(0.8, seed=2), superior).verdict.outcome is VerdictKind.WAIT
    )
    better = read(people(0.9, seed=1), people(0.8, seed=2), superior)
    assert better.verdict.outcome is VerdictKind.PASS


@pytest.mark.parametrize("kind", ["non-inferior", "superior"])
@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_the_bounds_that_are_shown_are_those_that_decide(kind: str, direction: str) -> None:
    """A goal is shown exactly where the interval lies beyond the margin, by any margin near it."""
    ours, theirs = people(0.83, 600, seed=1), people(0.8, 600, seed=2)
    better = 1 if direction == "higher" else -1
    sign = 1 if kind == "superior" else -1
    agreed = set()
    for margin in np.arange(0.001, 0.5, 0.003):
        goal = msgspec.convert(
            {"name": "reward", "kind": kind, "direction": direction, "margin": float(margin)},
            MetricSettings,
        )
        look = read(ours, theirs, goal, alpha_harm=1e-9).looks[0]
        end = look.low if better > 0 else -look.high
        assert look.shown == (end > sign * margin), margin
        agreed.add(look.shown)
    assert agreed == ({True, False} if kind == "non-inferior" else {False})


@pytest.mark.parametrize("name", ["profit", "profit_p50"])
def test_equal_arms_below_zero_are_not_accused(name: str) -> None:
    """A product's number may be negative: a tolerance stays one, and a margin can be shown."""
    generator = np.random.default_rng(8)
    ours, theirs = (generator.normal(-10.0, 1.0, 2000) for _ in range(2))
    goal = msgspec.convert(
        {"name": name, "kind": "non-inferior", "margin": 0.1, "tolerance": 0.1}
        | {"direction": "higher", "own": True},
        MetricSettings,
    )

    def judged(shift: float) -> Readout:
        told = [
            dataclasses.replace(answers(user=range(2000)), values={"reward": one, "profit": one})
            for one in (ours + shift, theirs)
        ]
        return read(told[0], told[1], goal)

    equal, worse = judged(0.0), judged(-2.0)
    assert equal.verdict.outcome is VerdictKind.PASS
    assert worse.verdict.outcome is VerdictKind.FAIL
    if name == "profit":
        assert worse.looks[0].change == pytest.approx(-0.2, abs=0.02)
        assert worse.looks[0].low < -0.2 < worse.looks[0].high


def test_more_errors_are_harm_and_fewer_are_not() -> None:
    """The direction of each metric is its own."""
    many, few = [float(n % 10 == 0) for n in range(2000)], [float(n % 50 == 0) for n in range(2000)]
    errors = MetricSettings(name="error_rate")
    bad = read(people(0.8, seed=1, failed=many), people(0.8, seed=2, failed=few), GOAL, errors)
    good = read(people(0.8, seed=1, failed=few), people(0.8, seed=2, failed=many), GOAL, errors)
    assert bad.verdict.outcome is VerdictKind.FAIL
    assert "harm: error_rate 0.1 against 0.02" in bad.verdict.reason
    assert good.verdict.outcome is VerdictKind.PASS


@pytest.mark.parametrize(
    ("slower", "outcome"),
    [(1.0, VerdictKind.PASS), (1.2, VerdictKind.PASS), (1.6, VerdictKind.FAIL)],
)
def test_a_slow_tail_is_found_beyond_its_tolerance(slower: float, outcome: VerdictKind) -> None:
    """The candidate's p95 may be a quarter above the control's."""
    generator = np.random.default_rng(3)
    ours, theirs = (np.exp(generator.normal(0, 0.5, 2000)) for _ in range(2))
    tail = MetricSettings(name="latency_p95", tolerance=0.25)
    seen = read(
        people(0.8, seed=1, latency=[float(x) for x in slower * ours]),
        people(0.8, seed=2, latency=[float(x) for x in theirs]),
        GOAL,
        tail,
    )
    assert seen.verdict.outcome is outcome


def test_a_quantile_can_be_a_goal() -> None:
    """Not slower by a tenth is shown for equal arms, and not for one that is slower by that."""
    generator = np.random.default_rng(4)
    goal = MetricSettings(name="latency_p50", kind="non-inferior", margin=0.1)
    found = []
    for slower in (0.95, 1.1):
        ours, theirs = (np.exp(generator.normal(0, 0.3, 2000)) for _ in range(2))
        seen = read(
            people(0.8, seed=1, latency=[float(x) for x in slower * ours]),
            people(0.8, seed=2, latency=[float(x) for x in theirs]),
            goal,
        )
        found.append(seen.looks[0].shown)
    assert found == [True, False]


def test_a_goal_that_no_answer_carries_is_named() -> None:
    """Nothing is promoted on what was never measured."""
    kept = MetricSettings(name="keep_rate", kind="non-inferior")
    seen = read(people(0.8, seed=1), people(0.8, seed=2), GOAL, kept)
    assert seen.verdict.outcome is VerdictKind.WAIT
    assert seen.verdict.reasons == ("keep_rate: no answer carries it",)


def test_guards_alone_promote_nobody() -> None:
    """Without a goal there is nothing to show."""
    seen = read(people(0.9, seed=1), people(0.8, seed=2), MetricSettings(name="reward"))
    assert seen.verdict.outcome is VerdictKind.WAIT


def test_nobody_is_nodata() -> None:
    """Before the first matured answer the source has said nothing."""
    nobody = answers(user=[-1], reward=[1.0])
    assert read(nobody, people(0.8)).verdict.outcome is VerdictKind.NODATA


def test_few_users_accuse_nobody() -> None:
    """Twenty refusals against twenty acceptances wait for the thirtieth user."""
    bad, good = people(0.0, 20), people(1.0, 20)
    assert read(bad, good).verdict.outcome is VerdictKind.WAIT
    assert read(bad, good, harm_users=20).verdict.outcome is VerdictKind.FAIL
