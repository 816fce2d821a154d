"""Two versions' answers to the same requests: what is shown, by how many people, and what is not."""

from typing import Any

import numpy as np
import pytest
from replay_world import refused

from rlwd.ops.benchmark.compared import ReplayPair, excess, judge_replay, sign_flips
from rlwd.ops.benchmark.replayed import ReplayedAnswer
from rlwd.ops.benchmark.settings import BOUNDS, BenchmarkSettings
from rlwd.ops.statistics.verdict import VerdictKind


def answered(
    person: int, *, asks: float = 0.0, tokens: int | None = 100, taken: float = -1.0
) -> ReplayedAnswer:
    return ReplayedAnswer(
        person=person,
        segment="default",
        behaviours={"asks": asks},
        tokens=tokens,
        seconds=1.0,
        taken=taken,
    )


def pairs(people: int, **more: Any) -> list[ReplayPair]:
    """Return a pair for each of so many people; `more` is of the candidate's answers."""
    return [ReplayPair(False, answered(n, **more), answered(n)) for n in range(people)]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"asks": 1.0}, "asks 1, the champion's 0"),
        ({"tokens": 160}, "length 160, the champion's 100 on the same requests (worse by 0.6"),
        ({"taken": -2.0}, "taken -2, the champion's -1"),
    ],
)
def test_what_is_worse_in_everybodys_answers_is_refused(more: dict[str, float], says: str) -> None:
    """From the number of people on that it says is needed: one fewer shows nothing."""
    settings = BenchmarkSettings()
    enough = judge_replay(pairs(11, **more), settings.bounded, settings.alpha)
    assert enough.outcome is VerdictKind.FAIL
    assert says in enough.reason
    assert enough.numbers["least_shown"] == 11
    few = judge_replay(pairs(10, **more), settings.bounded, settings.alpha)
    assert few.outcome is VerdictKind.PASS
    assert "too few to show a habit, for which 11 people are needed" in few.reason


def test_a_small_alpha_is_reached_with_enough_people() -> None:
    """What draws of signs cannot show is shown all the same: lengths differ from person to person."""
    longer = [ReplayPair(False, answered(n, tokens=200 + n), answered(n)) for n in range(60)]
    alike = [
        ReplayPair(False, answered(n, tokens=100 + n * (1 if n % 2 else -1)), answered(n))
        for n in range(60)
    ]
    for alpha in (1e-3, 1e-6, 1e-9):
        found = judge_replay(longer, BOUNDS, alpha)
        assert found.outcome is VerdictKind.FAIL, alpha
        assert found.numbers["least_shown"] <= 60
        assert judge_replay(alike, BOUNDS, alpha).outcome is VerdictKind.PASS


def test_worse_by_less_than_the_bound_is_not_refused_however_sure_it_is() -> None:
    """Of a thousand people each is given an answer that is a fifth longer: the bound is one half."""
    found = excess("length", pairs(1000, tokens=120))
    assert found is not None
    assert found.chance < 1e-4
    settings = BenchmarkSettings()
    verdict = judge_replay(pairs(1000, tokens=120), settings.bounded, settings.alpha)
    assert verdict.outcome is VerdictKind.PASS


def test_one_person_counts_once() -> None:
    """A hundred requests of one person show no more than one."""
    many = [ReplayPair(False, answered(1, asks=1.0), answered(1)) for _ in range(100)]
    found = excess("asks", many)
    assert found is not None
    assert (found.people, found.chance) == (1, 0.5)


def test_an_unbounded_metric_refuses_nobody() -> None:
    """A bound of 0 leaves one out; the number is told all the same."""
    settings = BenchmarkSettings(bounds=dict.fromkeys(BOUNDS, 0.0) | {"digits": 0.1})
    verdict = judge_replay(pairs(50, asks=1.0), settings.bounded, settings.alpha)
    assert verdict.outcome is VerdictKind.PASS
    assert (verdict.numbers["asks"], verdict.numbers["champion/asks"]) == (1.0, 0.0)


def line(people: int, ours: float, theirs: float, first: float) -> list[ReplayPair]:
    """Return the answers of a line: so many of the people are asked by candidate, champion and v0."""
    return [
        ReplayPair(False, *(answered(n, asks=float(n < many)) for many in (ours, theirs, first)))
        for n in range(people)
    ]


def test_what_a_line_adds_up_to_is_refused_beside_v0() -> None:
    """Twelve people more than v0 asks, six more than the champion: neither step is shown by itself."""
    settings = BenchmarkSettings()
    steps = line(40, 12, 6, 0)
    assert judge_replay(steps, settings.bounded, settings.alpha).outcome is VerdictKind.PASS
    verdict = judge_replay(steps, settings.bounded, settings.alpha, settings.in_total)
    assert verdict.outcome is VerdictKind.FAIL
    said = "in all, step by step: asks 0.3, v0's 0 and the champion's 0.15 on the same requests"
    assert verdict.reason.startswith(said)
    assert verdict.numbers["anchor/asks"] == 0.0
    assert verdict.numbers["least_shown"] == 12


def test_one_large_step_is_no_sum_of_small_ones() -> None:
    """It is refused beside the champion, and what v0 does is among the numbers."""
    settings = BenchmarkSettings()
    verdict = judge_replay(line(40, 20, 0, 0), settings.bounded, settings.alpha, settings.in_total)
    assert verdict.outcome is VerdictKind.FAIL
    assert verdict.reason.startswith("asks 0.5, the champion's 0 on the same requests (")
    assert verdict.numbers["anchor_chance/asks"] < 1e-4


def test_what_is_meant_to_have_changed_since_v0_has_a_bound_of_its_own() -> None:
    """The others are the bounds times `total`; 0 leaves one out, or all of them."""
    settings = BenchmarkSettings(total=2.0, total_bounds={"asks": 0.5, "length": 0.0})
    assert "length" not in settings.in_total
    assert settings.in_total["asks"] == 0.5
    assert settings.in_total["worth"] == pytest.approx(2 * BOUNDS["worth"])
    assert BenchmarkSettings(total=0.0, total_bounds={"asks": 0.5}).in_total == {}
    said = judge_replay(line(40, 12, 6, 0), settings.bounded, settings.alpha, settings.in_total)
    assert said.outcome is VerdictKind.PASS
    assert "answers as the champion and v0 on 40 requests of 40 people" in said.reason
    with pytest.raises(ValueError, match=r"total_bounds\.asking: is no metric of a replay"):
        BenchmarkSettings(total_bounds={"asking": 0.5})


def test_what_one_of_them_cannot_be_told_of_is_left_out() -> None:
    """An answer that the replay's own limit cut has no length."""
    assert excess("length", pairs(20, tokens=None)) is None


@pytest.mark.parametrize("count", [3, 14, 40, 200])
def test_the_chance_is_that_of_the_signs(count: int) -> None:
    """All of them where they are few, a sample where they are many; heads alone are exact."""
    told = np.ones(count)
    assert sign_flips(told) == pytest.approx(0.5**count)
    draw = np.random.default_rng(1).normal(size=count)
    both = sign_flips(draw) + sign_flips(-draw)
    assert 0.97 <= both <= 1.03 + 0.5**count


def test_how_often_which_version_is_refused() -> None:
    """A part of the table of docs/benchmark.md."""
    assert refused(50, seeds=range(40)) == 0.0
    assert refused(50, rate=0.7, seeds=range(20)) == 1.0
    assert refused(25, rate=0.4, seeds=range(20)) >= 0.5
