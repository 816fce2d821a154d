"""The contextual baseline: exact sums, what prompts say, and what happens where they say nothing."""

import math
from collections.abc import Callable

import msgspec
import pytest
import structlog
import torch
from tiny_learner import TINY
from torch import Tensor

from rlwd.learner.estimators.contextual import Contextual
from rlwd.learner.estimators.mixed import MixedModel, mixed_model
from rlwd.learner.estimators.projection import projected
from rlwd.learner.estimators.ridge import RidgeSums, fit
from rlwd.learner.estimators.segment_counts import SegmentCounts
from rlwd.learner.sealed import SealedEpisode

Make = Callable[..., SealedEpisode]


def world(make: Make, seed: int, count: int = 64) -> tuple[list[SealedEpisode], Tensor]:
    """Answers to prompts whose first state number says how likely they are taken."""
    draw = torch.Generator().manual_seed(seed)
    states_ND = torch.randn(count, 8, generator=draw) + 3.0
    chance_N = (4.0 * (states_ND[:, 0] - 3.0)).sigmoid()
    taken = (torch.rand(count, generator=draw) < chance_N).tolist()
    return [make(reward=float(one)) for one in taken], states_ND


def explained(values: list[float | None], episodes: list[SealedEpisode]) -> float:
    """Share of the rewards' variance that was expected."""
    mean = sum(e.reward for e in episodes) / len(episodes)
    off = sum((e.reward - (v or 0.0)) ** 2 for e, v in zip(episodes, values, strict=True))
    return 1.0 - off / sum((e.reward - mean) ** 2 for e in episodes)


def test_left_out_rows_are_exact() -> None:
    """The prediction without a row is that of a fit without it, evidence from before and weights included."""
    draw = torch.Generator().manual_seed(0)
    design_NP = torch.randn(12, 4, dtype=torch.float64, generator=draw)
    targets_N = torch.randn(12, dtype=torch.float64, generator=draw)
    weights_N = torch.rand(12, dtype=torch.float64, generator=draw) + 0.1
    precision_PP, information_P = 2.0 * torch.eye(4).double(), torch.ones(4).double()
    found = fit(design_NP, targets_N, weights_N, precision_PP, information_P)
    for row in range(12):
        rest = [i for i in range(12) if i != row]
        weighed = weights_N[rest][:, None] * design_NP[rest]
        without_P = torch.linalg.solve(
            precision_PP + weighed.T @ design_NP[rest], information_P + weighed.T @ targets_N[rest]
        )
        assert float(found.left_out_N[row]) == pytest.approx(float(design_NP[row] @ without_P))


def test_rows_together_are_left_out_together() -> None:
    """The prediction of rows of one session is that of a fit without any of them."""
    draw = torch.Generator().manual_seed(0)
    design_NP = torch.randn(12, 4, dtype=torch.float64, generator=draw)
    targets_N = torch.randn(12, dtype=torch.float64, generator=draw)
    weights_N = torch.rand(12, dtype=torch.float64, generator=draw) + 0.1
    precision_PP, information_P = 2.0 * torch.eye(4).double(), torch.ones(4).double()
    together = [[0, 3, 7], [2, 11]]
    found = fit(design_NP, targets_N, weights_N, precision_PP, information_P, together)
    for rows in (*together, [5]):
        rest = [i for i in range(12) if i not in rows]
        weighed = weights_N[rest][:, None] * design_NP[rest]
        without_P = torch.linalg.solve(
            precision_PP + weighed.T @ design_NP[rest], information_P + weighed.T @ targets_N[rest]
        )
        torch.testing.assert_close(found.left_out_N[rows], design_NP[rows] @ without_P)


def test_sums_do_not_depend_on_the_scale() -> None:
    """Sums that are brought to mean 0 and spread 1 are those of features that were, batch by batch."""
    draw = torch.Generator().manual_seed(0)
    states_NK = 100.0 + torch.randn(30, 3, dtype=torch.float64, generator=draw)
    targets_N = torch.randn(30, dtype=torch.float64, generator=draw)
    ones_N = torch.ones(30, dtype=torch.float64)
    sums = RidgeSums.empty(3)
    for part in (slice(0, 10), slice(10, 30)):
        sums = sums.plus(states_NK[part], targets_N[part], ones_N[part])
    mean_K, inverse_K = sums.centre()
    gram_KK, cross_K = sums.standardised(mean_K, inverse_K)
    scaled_NK = (states_NK - states_NK.mean(0)) / states_NK.std(0, correction=0)
    torch.testing.assert_close(gram_KK, scaled_NK.T @ scaled_NK, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(cross_K, scaled_NK.T @ targets_N, rtol=1e-6, atol=1e-6)


def test_a_prompt_says_how_hard_it_is(make_episode: Make) -> None:
    """After some batches half of the rewards' variance is expected; the segment alone expects none."""
    one = Contextual(TINY)
    for seed in range(4):
        one.observe(*world(make_episode, seed))
        one.moved({}, otherwise=0.01)
    episodes, states_ND = world(make_episode, 9, 256)
    assert explained(one.baselines(episodes, states_ND), episodes) > 0.4
    assert abs(explained(one.baselines(episodes, None), episodes)) < 0.05
    assert one.metrics()["ridge"] > 0.0


def test_prompts_that_say_nothing_cost_nothing(make_episode: Make) -> None:
    """Where states have nothing to do with rewards, the ridge that leaves them out predicts best."""
    one = Contextual(TINY)
    for seed in range(4):
        episodes, _ = world(make_episode, seed)
        one.observe(episodes, world(make_episode, seed + 50)[1])
    assert one.metrics()["ridge"] in (0.0, 800.0)
    episodes, states_ND = world(make_episode, 9, 256)
    assert explained(one.baselines(episodes, states_ND), episodes) > -0.03


def test_a_state_that_is_not_finite_says_nothing(make_episode: Make) -> None:
    """Such an episode is expected to earn what its segment does; the others' are as if it had no state."""
    one = Contextual(TINY)
    for seed in range(3):
        one.observe(*world(make_episode, seed))
    episodes, states_ND = world(make_episode, 9)
    broken = states_ND.clone()
    broken[0, 3], broken[1, 0] = math.nan, math.inf
    values = one.baselines(episodes, broken)
    assert all(value is not None and math.isfinite(value) for value in values)
    mean = sum(e.reward for e in episodes) / len(episodes)
    assert values[:2] == pytest.approx([mean, mean], abs=0.1)
    was = one.moments.count
    one.observe(episodes, broken)
    assert one.moments.count == was + len(episodes) - 2
    assert one.moments.gram_KK.isfinite().all()


def test_other_states_start_it_again(make_episode: Make) -> None:
    """With states of another width, or another number of features, the ridge begins anew and says so;
    what is known of segments stays."""
    one = Contextual(TINY)
    episodes, states_ND = world(make_episode, 0)
    one.observe(episodes, states_ND)
    wider = torch.cat([states_ND, states_ND], dim=1)
    assert one.baselines(episodes, wider) == pytest.approx(one.baselines(episodes, None), abs=1e-6)
    with structlog.testing.capture_logs() as lines:
        one.observe(episodes, wider)
    assert [line["event"] for line in lines] == ["contextual_started_again"]
    assert (one.width, one.moments.count) == (16, 64.0)
    one.settings = msgspec.structs.replace(TINY, context_features=4)
    one.observe(episodes, wider)
    assert (len(one.moments.states_K), one.moments.count) == (4, 64.0)


def test_what_prompts_earned_fades_as_the_policy_moves(make_episode: Make) -> None:
    """Half of the evidence is left after `context_half_life` nats."""
    one = Contextual(msgspec.structs.replace(TINY, context_half_life=0.5))
    one.observe(*world(make_episode, 0))
    one.moved({}, otherwise=0.5)
    assert one.moments.count == 32.0


def test_a_wide_state_is_projected_the_same_way_for_ever() -> None:
    """Random signs keep distances, and are these in every version of Python and torch."""
    states_ND = torch.randn(20, 2048, generator=torch.Generator().manual_seed(0))
    few_NK = projected(states_ND, 256)
    assert few_NK.shape == (20, 256)
    was, now = torch.pdist(states_ND.double()), torch.pdist(few_NK)
    assert (now / was - 1.0).abs().max() < 0.2
    signs = projected(torch.eye(300, dtype=torch.float64)[:1], 16)[0].sign().tolist()
    assert signs == [1, 1, 1, 1, 1, -1, -1, -1, 1, -1, -1, -1, 1, -1, -1, 1]
    assert projected(states_ND, 4096).shape == (20, 2048)


def mixed(make: Make, one: Contextual, segments: list[tuple[str, str]]) -> MixedModel:
    """The regression of a batch with these segments and releases, whose prompts say nothing."""
    rewards = [float(place % 3 == 0) for place in range(len(segments))]
    episodes = [
        make(segment=segment, harness=harness, reward=reward)
        for (segment, harness), reward in zip(segments, rewards, strict=True)
    ]
    none_NK, none_N = torch.zeros(len(episodes), 0).double(), torch.zeros(len(episodes)).double()
    return mixed_model(episodes, none_NK, none_N, RidgeSums.empty(0), one.offsets, one.settings)


@pytest.mark.parametrize("parent_count", [8.0, 0.0])
def test_segments_elsewhere_are_solved_for_exactly(make_episode: Make, parent_count: float) -> None:
    """What is expected is as with a column for every segment and release that ever was."""
    one = Contextual(msgspec.structs.replace(TINY, parent_count=parent_count))
    known = [("mail", ""), ("mail", "1"), ("mail", "2"), ("code", "1"), ("chat", ""), ("note", "3")]
    for place, (segment, harness) in enumerate(known):
        stratum = f"{segment} · {harness}" if harness else segment
        one.offsets[stratum] = SegmentCounts(
            alpha=place + 0.5, beta=6.0 - place, drift=0.01 * place, segment=segment
        )
    batch = [("mail", "2"), ("mail", "2"), ("code", ""), ("new", "2"), ("chat", "4"), ("chat", "4")]
    found = mixed(make_episode, one, batch)
    assert found.levels_NL.shape[1] == 1 + 4 + 3  # all; segments; releases in them
    every = sorted({*known, *batch})
    names = list(dict.fromkeys(n for s, h in every for n in ("", s, f"{s} · {h}" if h else s)))

    def row(segment: str, harness: str) -> list[float]:
        own = {"", segment, f"{segment} · {harness}" if harness else segment}
        return [float(name in own) for name in names]

    design_NL = torch.tensor([row(*each) for each in batch]).double()
    least = max(parent_count, 1e-6)
    precision_LL = torch.tensor([least if name else 1e-6 for name in names]).double().diag()
    information_L = torch.zeros(len(names), dtype=torch.float64)
    for (segment, harness), counts in zip(known, one.offsets.values(), strict=True):
        here = (segment, harness) in batch
        kept = counts.rho(one.settings) if here else counts.freshness(one.settings)
        its_L = torch.tensor(row(segment, harness)).double()
        precision_LL += kept * counts.count * torch.outer(its_L, its_L)
        information_L += kept * counts.alpha * its_L
    whole = fit(design_NL, found.rewards_N, found.weights_N, precision_LL, information_L)
    torch.testing.assert_close(
        found.fit(math.inf).left_out_N, whole.left_out_N, rtol=1e-5, atol=1e-5, equal_nan=True
    )


def test_ten_thousand_segments_cost_no_more_than_the_batch_has(make_episode: Make) -> None:
    """A product that names a segment for each customer: columns are those of the batch."""
    one = Contextual(TINY)
    for number in range(10_000):
        one.offsets[f"customer {number}"] = SegmentCounts(alpha=3.0, beta=1.0)
    found = mixed(make_episode, one, [("customer 7", ""), ("customer 7", ""), ("new", "2")])
    assert found.levels_NL.shape == (3, 4)
    assert float(found.fit(math.inf).left_out_N[2]) == pytest.approx(0.75, abs=0.01)
