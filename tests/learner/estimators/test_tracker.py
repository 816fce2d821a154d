"""The tracker, number by number, and the advantages made with it."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_learner import TINY

from rlwd.learner.estimators.advantage import standardised
from rlwd.learner.estimators.segment_counts import SegmentCounts
from rlwd.learner.estimators.tracker import Tracker
from rlwd.learner.sealed import SealedEpisode

Make = Callable[..., SealedEpisode]


def test_worked_example(make_episode: Make) -> None:
    """The docstring's numbers: faded evidence and the others' rewards, never an episode's own."""
    settings = msgspec.structs.replace(TINY, rho_max=0.875)
    tracker = Tracker(settings, {"mail": SegmentCounts(alpha=4.0, beta=4.0)})
    both = [make_episode(reward=1.0), make_episode(reward=0.0)]
    assert tracker.baselines(both) == [3.5 / 8, 4.5 / 8]
    assert tracker.baselines([make_episode(reward=1.0)]) == [0.5]
    tracker.observe([make_episode(reward=1.0)])
    evidence = tracker.segments["mail"]
    assert (evidence.alpha, evidence.beta) == (0.875 * 4 + 1, 0.875 * 4)
    assert evidence.value == 0.5625


def test_two_rewards_by_hand(make_episode: Make) -> None:
    """Within one version nothing drifts, so evidence is kept at rho_max."""
    tracker = Tracker(TINY, {"mail": SegmentCounts(alpha=4.0, beta=4.0)})
    tracker.observe([make_episode(reward=1.0), make_episode(reward=0.25)])
    a1, b1 = 0.96 * 4 + 1, 0.96 * 4
    assert tracker.segments["mail"].alpha == pytest.approx(0.96 * a1 + 0.25)
    assert tracker.segments["mail"].beta == pytest.approx(0.96 * b1 + 0.75)


def test_a_new_segment_starts_from_its_batch(make_episode: Make) -> None:
    """The mean of its rewards, worth as many episodes as they are and no more than the prior."""
    tracker = Tracker(TINY, {})
    rewards = [1.0] * 3 + [0.0] * 9
    new = [make_episode(reward=reward) for reward in rewards]
    values = tracker.baselines(new)
    assert values == [2 / 11] * 3 + [3 / 11] * 9
    tracker.observe([*new, make_episode(segment="code", reward=1.0)])
    mail, code = tracker.segments["mail"], tracker.segments["code"]
    assert (mail.alpha, mail.beta, mail.segment) == (8 * 0.25, 8 * 0.75, "mail")
    assert (code.alpha, code.beta) == (1.0, 0.0)


def test_a_small_stratum_borrows_from_its_parent(make_episode: Make) -> None:
    """By hand, with a parent worth 4: a new release leans on the old one, and that on other segments;
    a stratum's own evidence outweighs what it borrows."""
    settings = msgspec.structs.replace(TINY, parent_count=4.0)
    tracker = Tracker(settings, {"code": SegmentCounts(alpha=2.0, beta=6.0, segment="code")})
    assert tracker.baselines([make_episode(reward=1.0)]) == [0.25]
    tracker.segments["mail · 1.0"] = SegmentCounts(alpha=6.0, beta=2.0)  # as from an old checkpoint
    release = [make_episode(reward=reward, harness="2.0") for reward in (1.0, 0.0)]
    of_mail = (6.0 + 4 * 0.25) / (8 + 4)
    assert tracker.baselines(release[:1]) == [pytest.approx(of_mail)]
    assert tracker.baselines(release) == pytest.approx([4 * of_mail / 5, (1 + 4 * of_mail) / 5])
    tracker.moved({"code": 99.0}, otherwise=0.0)  # Not seen for long, it is nobody's parent.
    assert tracker.baselines(release[:1]) == [pytest.approx(0.75)]


def test_a_release_of_the_product_is_not_mistaken_for_the_policy(make_episode: Make) -> None:
    """Where a new harness earns more, its answers are held against its own average, in the batch and
    afterwards; what was known of the old one stays as it was."""
    tracker = Tracker(TINY, {"mail": SegmentCounts(alpha=4.0, beta=4.0)})
    old = [make_episode(reward=reward, harness="1.0") for reward in (0.0, 0.0, 0.0, 1.0) * 16]
    new = [make_episode(reward=reward, harness="2.0") for reward in (1.0, 1.0, 1.0, 0.0) * 16]
    values = tracker.baselines([*old, *new])
    assert None not in values
    left = [e.reward - (v or 0.0) for e, v in zip([*old, *new], values, strict=True)]
    assert abs(sum(left[:64])) < 0.06 * 64
    assert abs(sum(left[64:])) < 0.06 * 64
    tracker.observe([*old, *new])
    alone = tracker.baselines([make_episode(harness="2.0")])
    # Eight answers of its own that earn 0.75, and eight of its parent, which earn some 0.4.
    assert alone == [pytest.approx(0.57, abs=0.03)]
    assert tracker.segments["mail"].value == 0.5


def test_nothing_else_known_no_baseline(make_episode: Make) -> None:
    """The first answer of all has nothing to be held against; neither has one whose segment is all."""
    assert Tracker(TINY, {}).baselines([make_episode()]) == [None]
    none = msgspec.structs.replace(TINY, parent_count=0.0)
    both = [make_episode(segment="code"), make_episode()]
    assert Tracker(none, {}).baselines(both) == [None, None]
    assert Tracker(TINY, {}).baselines(both) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("drift", "rho"),
    [(0.0, 0.96), (0.0035, 0.96), (0.006, 2 ** (-0.1)), (0.01, 2 ** (-1 / 6)), (0.06, 0.875)],
)
def test_drift_fades_evidence(drift: float, rho: float, make_episode: Make) -> None:
    """rho is 2^(-D / 0.06), held in [0.875, 0.96]; a new reward starts D again."""
    tracker = Tracker(TINY, {"mail": SegmentCounts(alpha=4.0, beta=4.0)})
    tracker.observe([make_episode()])
    before = tracker.segments["mail"].alpha
    tracker.moved({"mail": drift / 2}, otherwise=9.0)
    tracker.moved({"code": 9.0}, otherwise=drift / 2)  # unseen: what the others moved
    assert tracker.segments["mail"].rho(TINY) == pytest.approx(max(rho, 0.875))
    tracker.observe([make_episode(reward=0.0), make_episode(reward=0.0)])
    assert tracker.segments["mail"].alpha == pytest.approx(before * max(rho, 0.875) * 0.96)
    assert tracker.segments["mail"].drift == 0.0


def test_order_of_versions_not_of_arrival(make_episode: Make) -> None:
    """Evidence of older versions is taken up first, however it arrived; baselines do not care."""
    old = make_episode(reward=0.0, age=2, version="policy@v000001-aa")
    new = make_episode(reward=1.0, age=0, version="policy@v000003-bb")
    one, other = (Tracker(TINY, {"mail": SegmentCounts(alpha=4.0, beta=4.0)}) for _ in range(2))
    assert one.baselines([new, old]) == other.baselines([old, new])[::-1]
    one.observe([new, old])
    other.observe([old, new])
    assert one.segments == other.segments
    assert one.segments["mail"].value > 0.5


def test_survives_json(make_episode: Make) -> None:
    """A tracker comes back from its JSON to the last bit."""
    tracker = Tracker(TINY, {})
    tracker.observe([make_episode(reward=0.1), make_episode(segment="code", reward=0.7)])
    tracker.moved({}, otherwise=0.1 / 3)
    again = Tracker.from_json(tracker.to_json(), TINY)
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
    assert None not in got
    total = sum(a * n for a, n in zip(got, tokens, strict=True) if a is not None)
    assert total == pytest.approx(0, abs=1e-6)


def test_without_a_baseline_no_advantage() -> None:
    """An episode without a baseline has no part in the others' mean and spread."""
    got = standardised([1.0, 0.3, 0.0], [0.5, None, 0.5], [1, 9, 3], floor=0.05)
    assert got == [pytest.approx(1.7320508), None, pytest.approx(-0.5773503)]
