"""The tracker, number by number, and the advantages made with it."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlwd.learner.sealed import SealedEpisode
from rlwd.learner.settings import DEMO
from rlwd.learner.train.advantage import standardised
from rlwd.learner.train.baseline import Tracker

Make = Callable[..., SealedEpisode]


def test_worked_example(make_episode: Make) -> None:
    """The prior is worth eight episodes of one half; a reward counts only for those after it."""
    settings = msgspec.structs.replace(DEMO, rho_max=0.875)
    tracker = Tracker(settings, {})
    assert tracker.observe([make_episode(reward=1.0)]) == [0.5]
    evidence = tracker.segments["mail"]
    assert (evidence.alpha, evidence.beta) == (0.875 * 4 + 1, 0.875 * 4)
    assert tracker.value("mail") == 0.5625
    assert tracker.value("code") == 0.5


def test_two_rewards_by_hand(make_episode: Make) -> None:
    """Within one version nothing drifts, so evidence is kept at rho_max."""
    tracker = Tracker(DEMO, {})
    values = tracker.observe([make_episode(reward=1.0), make_episode(reward=0.25)])
    a1, b1 = 0.96 * 4 + 1, 0.96 * 4
    assert values == [0.5, a1 / (a1 + b1)]
    assert tracker.segments["mail"].alpha == pytest.approx(0.96 * a1 + 0.25)
    assert tracker.segments["mail"].beta == pytest.approx(0.96 * b1 + 0.75)


@pytest.mark.parametrize(
    ("drift", "rho"),
    [(0.0, 0.96), (0.0035, 0.96), (0.006, 2 ** (-0.1)), (0.01, 2 ** (-1 / 6)), (0.06, 0.875)],
)
def test_drift_fades_evidence(drift: float, rho: float, make_episode: Make) -> None:
    """rho is 2^(-D / 0.06), held in [0.875, 0.96]; a new reward starts D again."""
    tracker = Tracker(DEMO, {})
    tracker.observe([make_episode()])
    before = tracker.segments["mail"].alpha
    tracker.moved({"mail": drift / 2}, otherwise=9.0)
    tracker.moved({"code": 9.0}, otherwise=drift / 2)  # unseen: what the others moved
    assert tracker.rho("mail") == pytest.approx(max(rho, 0.875))
    tracker.observe([make_episode(reward=0.0), make_episode(reward=0.0)])
    assert tracker.segments["mail"].alpha == pytest.approx(before * max(rho, 0.875) * 0.96)
    assert tracker.segments["mail"].drift == 0.0


def test_order_of_versions_not_of_arrival(make_episode: Make) -> None:
    """Evidence of older versions is taken up first, however it arrived; values keep their places."""
    old = make_episode(reward=0.0, age=2, version="policy@v000001-aa")
    new = make_episode(reward=1.0, age=0, version="policy@v000003-bb")
    one, other = Tracker(DEMO, {}), Tracker(DEMO, {})
    assert one.observe([new, old]) == other.observe([old, new])[::-1]
    assert one.segments == other.segments
    assert one.value("mail") > 0.5


def test_survives_json(make_episode: Make) -> None:
    """A tracker comes back from its JSON to the last bit."""
    tracker = Tracker(DEMO, {})
    tracker.observe([make_episode(reward=0.1), make_episode(segment="code", reward=0.7)])
    tracker.moved({}, otherwise=0.1 / 3)
    again = Tracker.from_json(tracker.to_json(), DEMO)
    assert again.segments == tracker.segments
    assert again.to_json() == tracker.to_json()


def test_advantages_by_hand() -> None:
    """The docstring's numbers: weighted by tokens, centred, divided by the spread."""
    got = standardised([1.0, 0.0], [0.5, 0.5], [1, 3], floor=0.05)
    assert got == pytest.approx([1.7320508, -0.5773503])


def test_small_spread_is_not_blown_up() -> None:
    """Below the floor advantages stay as small as the differences they come from."""
    got = standardised([0.50, 0.51], [0.5, 0.5], [1, 1], floor=0.05)
    assert got == pytest.approx([-0.1, 0.1])
    assert standardised([1.0, 1.0], [0.9, 0.9], [2, 5], floor=0.05) == pytest.approx([0.0, 0.0])


@given(
    rows=st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(1, 500)), min_size=1, max_size=40
    )
)
def test_token_mean_is_zero(rows: list[tuple[float, float, int]]) -> None:
    """Whatever the lengths, advantages weighted by tokens sum to nothing."""
    rewards, values, tokens = zip(*rows, strict=True)
    got = standardised(rewards, values, tokens, floor=0.05)
    assert sum(a * n for a, n in zip(got, tokens, strict=True)) == pytest.approx(0, abs=1e-6)
