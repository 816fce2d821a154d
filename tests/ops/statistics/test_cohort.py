"""Cohorts: which answers count, over which strata, with which weight."""

import numpy as np
import pytest
from answers_by_hand import answers

from rlwd.ops.statistics.answers import ComparisonSettings
from rlwd.ops.statistics.cohort import Cohort, aligned, cohort
from rlwd.ops.statistics.metric import KNOWN

NAN = float("nan")
SETTINGS = ComparisonSettings(stratum_users=2)


def test_an_answer_counts_once_its_horizon_has_passed() -> None:
    """At 160 s the answers of 0 s and 50 s are older than 100 s, and that of 90 s is not."""
    seen = answers(user=[0, 0, 1], served_at=[0, 50, 90], horizon=100, reward=[1, 0, 1])
    found = cohort(seen, KNOWN["reward"], 160.0, SETTINGS)
    assert found is not None
    assert (found.users, found.y.tolist(), found.n.tolist()) == (1, [[1.0]], [[2.0]])


def test_a_failure_counts_at_once() -> None:
    """Nobody has to decide whether the engine answered."""
    seen = answers(user=[0, 1], served_at=[0, 90], horizon=100, failed=[0, 1])
    found = cohort(seen, KNOWN["error_rate"], 100.0, SETTINGS)
    assert found is not None
    assert found.y.tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("undecided", "y", "n"), [("omit", 1.0, 1.0), (0.0, 1.0, 2.0), (0.5, 1.5, 2.0)]
)
def test_the_undecided_are_valued_as_the_settings_say(undecided: float, y: float, n: float) -> None:
    """Left out, they are in neither sum; with a value they are in both. The feedback rate has them."""
    seen = answers(user=[0, 0], reward=[1, NAN])
    settings = ComparisonSettings(undecided=undecided)
    reward = cohort(seen, KNOWN["reward"], 1e9, settings)
    rate = cohort(seen, KNOWN["feedback_rate"], 1e9, settings)
    assert reward is not None
    assert rate is not None
    assert (reward.y.sum(), reward.n.sum()) == (y, n)
    assert (rate.y.sum(), rate.n.sum()) == (1.0, 2.0)


def test_unnamed_users_are_no_users() -> None:
    """Thirty requests without a user are not thirty people, nor one."""
    seen = answers(user=[-1, -1, 0], reward=[0, 0, 1])
    found = cohort(seen, KNOWN["reward"], 1e9, SETTINGS)
    assert found is not None
    assert (found.users, found.y.sum()) == (1, 1.0)


def test_tokens_of_a_session_are_divided_by_sessions() -> None:
    """Three answers in two sessions: 60 tokens over 2."""
    seen = answers(user=[0, 0, 1], tokens=[10, 20, 30], first_turn=[1, 0, 1])
    found = cohort(seen, KNOWN["session_tokens"], 0.0, SETTINGS)
    assert found is not None
    assert (found.y.sum(), found.n.sum()) == (60.0, 2.0)


def test_a_number_that_no_answer_carries_is_no_cohort() -> None:
    """A metric without its column says nothing instead of zero."""
    assert cohort(answers(user=[0]), KNOWN["latency_p50"], 0.0, SETTINGS) is None
    assert cohort(answers(user=[0], tokens=[1]), KNOWN["session_tokens"], 0.0, SETTINGS) is None


def test_the_horizon_of_each_answer_is_its_own() -> None:
    """A segment with a longer horizon waits longer."""
    seen = answers(user=[0, 1], stratum=[0, 1], horizon=[10, 100], reward=[1, 1])
    found = cohort(seen, KNOWN["reward"], 50.0, SETTINGS)
    assert found is not None
    assert found.n.tolist() == [[1.0, 0.0]]


def made(n: list[list[float]]) -> Cohort:
    counts = np.array(n, float)
    return Cohort(y=counts / 2, n=counts, earlier=np.full(len(counts), NAN))


def test_thin_strata_are_compared_together() -> None:
    """Two strata with one user each become one with two; the large one stays its own."""
    n: list[list[float]] = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    ours, theirs = aligned(made(n), made(n), SETTINGS)
    assert ours.n.sum(axis=0).tolist() == [2.0, 2.0]
    assert theirs.y.sum() == 2.0


def test_a_rest_that_is_too_thin_joins_the_largest_stratum() -> None:
    """Nobody is dropped for being rare."""
    n: list[list[float]] = [[1, 0], [1, 0], [1, 0], [0, 1]]
    ours, _ = aligned(made(n), made(n), SETTINGS)
    assert ours.n.sum(axis=0).tolist() == [4.0]


def test_a_stratum_of_one_variant_alone_is_merged() -> None:
    """The candidate is not compared with nobody: its extra column joins the control's."""
    ours, theirs = aligned(made([[1.0, 0], [1, 0], [0, 1]]), made([[1.0], [1]]), SETTINGS)
    assert ours.n.shape[1] == theirs.n.shape[1] == 1


def test_one_user_weighs_at_most_so_many_times_the_mean() -> None:
    """With 1000 answers among users of one, he is scaled down and keeps his mean of 1/2."""
    heavy = made([[1.0]] * 99 + [[1000.0]])
    ours, _ = aligned(heavy, made([[1.0]] * 100), ComparisonSettings(user_weight=3.0))
    assert ours.n.max() == pytest.approx(3 * 199 / (200 - 3))
    assert ours.y[-1, 0] / ours.n[-1, 0] == pytest.approx(0.5)


@pytest.mark.parametrize(("heavy", "users"), [(1, 20), (1, 200), (3, 60), (1, 2)])
def test_nobody_has_more_of_the_weight_than_his_multiple(heavy: int, users: int) -> None:
    """Users with nearly all answers have at most 10 times the mean weight, counted after capping."""
    settings = ComparisonSettings(user_weight=10.0, stratum_users=2)
    crowd = made([[9.0 * users]] * heavy + [[1.0]] * (users - heavy))
    ours, theirs = aligned(crowd, made([[1.0]] * users), settings)
    weights = np.concatenate([ours.n[:, 0], theirs.n[:, 0]])
    assert weights.max() <= 10 * weights.mean() * (1 + 1e-12)
    if 2 * users > 10:
        assert weights.max() == pytest.approx(10 * weights.mean())


@pytest.mark.parametrize(
    "wrong",
    [{"undecided": 2.0}, {"user_weight": 0.5}, {"stratum_users": 1}, {"horizon_seconds": -1.0}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    """Each is named with its value."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ComparisonSettings(**wrong)  # type: ignore[arg-type]
