"""Packed losses equal an episode-by-episode loop that autograd differentiates, in float64.

These run twice: here through the reference, and through the Triton kernel in `test_interpreted`.
"""

import math
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlwd.kernels.dispatch import (
    Dpo,
    Kto,
    Packed,
    PolicyGradient,
    TokenObjective,
    segment_losses,
)

INTERPRETED = os.environ.get("RLWD_KERNELS") == "interpret"
TOKEN = TokenObjective(
    ratio_cap=2.0, mask_below=0.2, mask_above=0.2, negative_weight=0.3, kl_weight=0.05
)
BOUNDED = TokenObjective(
    band_low=0.6, band_high=1.8, probability_mask=0.1, negative_weight=0.3, kl_weight=0.05
)
OBJECTIVES: list[Any] = [
    PolicyGradient(token=TOKEN),
    PolicyGradient(token=TOKEN, filter="mean", limit=0.05, drift_weight=1e-3),
    PolicyGradient(token=TOKEN, filter="geometric", limit=0.1, reference_weight=0.02),
    PolicyGradient(token=TOKEN, filter="k3", limit=0.03, negatives_only=True),
    PolicyGradient(token=TOKEN, filter="stale", limit=0.05, negatives_only=True),
    PolicyGradient(token=BOUNDED),
    PolicyGradient(token=BOUNDED, sequence_ratio=True, filter="k3", limit=0.2),
    PolicyGradient(
        token=TokenObjective(mask_below=0.03, mask_above=0.04, negative_weight=0.3, kl_weight=0.05),
        sequence_ratio=True,
    ),
    Kto(beta=0.3, desirable=1.0, undesirable=0.7),
    Dpo(beta=0.2),
    Dpo(beta=0.2, by_length=False, likelihood_weight=0.1),
]


def packed(lengths: list[int], seed: int = 0, dtype: torch.dtype = torch.float64) -> Packed:
    """Episodes of these lengths, some close to the behaviour policy and some far off it."""
    source = torch.Generator().manual_seed(seed)
    count, tokens = len(lengths), sum(lengths)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    logp = -normal(tokens).abs()
    spread = torch.rand(count, generator=source, dtype=torch.float64)
    each = torch.arange(count).repeat_interleave(torch.tensor(lengths, dtype=torch.long))
    behaviour = logp + 0.6 * spread[each] * normal(tokens)
    given_to = (logp, behaviour, normal(count)[each], normal(tokens).abs(), logp + normal(tokens))
    logp, behaviour, advantages, kl, reference = (value.to(dtype) for value in given_to)
    return Packed(
        logp=logp.requires_grad_(),
        bounds=torch.tensor([0, *lengths]).cumsum(0),
        behaviour=behaviour,
        advantages=advantages,
        kl=kl.requires_grad_(),
        reference=reference,
        desirable=torch.rand(count, generator=source) < 0.5,
        baseline=torch.tensor([0.05], dtype=dtype),
    )


def looped(given: Packed, objective: Any) -> Tensor:
    """The losses one by one, written from the papers' formulas."""
    spans = [slice(a, b) for a, b in zip(given.bounds[:-1], given.bounds[1:], strict=True)]
    loss: dict[type, Callable[[], list[Tensor]]] = {
        PolicyGradient: lambda: [by_gradient(given, objective, span) for span in spans],
        Kto: lambda: [by_thumb(given, objective, i, span) for i, span in enumerate(spans)],
        Dpo: lambda: [
            by_pair(given, objective, one, two)
            for one, two in zip(spans[0::2], spans[1::2], strict=True)
        ],
    }
    return torch.stack([*loss[type(objective)](), given.logp.new_zeros(())])[:-1]


def by_gradient(given: Packed, objective: PolicyGradient, span: slice) -> Tensor:
    ours, theirs = given.logp[span], given.behaviour[span]  # type: ignore[index]
    advantages, kl, reference = (
        values[span]  # type: ignore[index]
        for values in (given.advantages, given.kl, given.reference)
    )
    d = (ours - theirs).detach()
    average = d.mean().item() if len(d) else 0.0
    k3 = (d.exp() - 1 - d).mean().item() if len(d) else 0.0
    size = {"none": 0.0, "mean": abs(average), "geometric": abs(math.exp(average) - 1), "k3": k3}
    out = {**size, "stale": -average}[objective.filter] > objective.limit
    total = given.logp.new_zeros(())
    for i, advantage in enumerate(advantages.tolist()):
        ratio = math.exp(average if objective.sequence_ratio else d[i].item())
        # A log-probability that rounding put above 0 is of a certain token.
        moved = math.exp(min(ours[i].item(), 0.0)) - math.exp(min(theirs[i].item(), 0.0))
        stays = inside(objective.token, ratio, moved, advantage)
        if stays and not (out and not (objective.negatives_only and advantage >= 0)):
            side = 1.0 if advantage >= 0 else 0.3
            cut = min(ratio, objective.token.ratio_cap or math.inf)
            total = total - cut * side * advantage * ours[i]
        r = reference[i] - ours[i]
        total = total + 0.05 * kl[i] + objective.drift_weight * (ours[i] - theirs[i]) ** 2
        total = total + objective.reference_weight * (r.exp() - 1 - r)
    return total


def inside(token: TokenObjective, ratio: float, moved: float, advantage: float) -> bool:
    """Whether a token's pull is within the region."""
    up = advantage > 0 and (
        ratio > 1 + (token.mask_above or math.inf) or moved > (token.probability_mask or math.inf)
    )
    down = advantage < 0 and (
        ratio < 1 - (token.mask_below or math.inf) or -moved > (token.probability_mask or math.inf)
    )
    return not (up or down) and token.band_low <= ratio <= (token.band_high or math.inf)


def by_thumb(given: Packed, objective: Kto, index: int, span: slice) -> Tensor:
    apart = (given.logp[span] - given.reference[span]).sum() - 0.05  # type: ignore[index]
    if given.desirable[index]:  # type: ignore[index]
        return objective.desirable * (1 - (objective.beta * apart).sigmoid())
    return objective.undesirable * (1 - (-objective.beta * apart).sigmoid())


def by_pair(given: Packed, objective: Dpo, one: slice, two: slice) -> Tensor:
    def apart(span: slice) -> Tensor:
        each = given.logp[span] - given.reference[span]  # type: ignore[index]
        return each.sum() / (max(len(each), 1) if objective.by_length else 1)

    likely = given.logp[one].sum() / max(len(given.logp[one]), 1)
    margin = objective.beta * (apart(one) - apart(two))
    return -torch.log(margin.sigmoid()) - objective.likelihood_weight * likely


def agrees(given: Packed, objective: Any, tolerance: float = 1e-11) -> None:
    got, wanted = segment_losses(given, objective).losses, looped(given, objective)
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)
    pull = torch.linspace(0.5, 1.5, len(got), dtype=got.dtype)
    kl = given.kl if isinstance(objective, PolicyGradient) else None
    inputs = [given.logp] if kl is None else [given.logp, kl]
    grads = (torch.autograd.grad((out * pull).sum(), inputs) for out in (got, wanted))
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_equals_a_loop(objective: Any) -> None:
    """Losses and gradients of short, empty and long episodes are the loop's to 1e-11."""
    agrees(packed([3, 1, 0, 7, 300, 12, 2, 2]), objective)


@settings(max_examples=10 if INTERPRETED else 60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=0, max_size=4),
    objective=st.sampled_from(OBJECTIVES),
    seed=st.integers(0, 2**16),
)
def test_any_pack(lengths: list[int], objective: Any, seed: int) -> None:
    """Any pack of episodes, none at all and empty ones among them, agrees with the loop."""
    given_to = packed([*lengths, *lengths], seed)
    if given_to.logp.numel():
        agrees(given_to, objective)
    else:
        assert not segment_losses(given_to, objective).losses.isnan().any()


def test_order_of_episodes() -> None:
    """An episode's loss does not depend on its neighbours or its place."""
    objective = OBJECTIVES[1]
    whole = segment_losses(packed([4, 4, 4, 4]), objective).losses
    given_to = packed([4, 4, 4, 4])
    last = [values[12:] if values is not None else None for values in given_to[2:6]]
    alone = Packed(given_to.logp[12:], torch.tensor([0, 4]), *last)
    torch.testing.assert_close(segment_losses(alone, objective).losses, whole[3:])


def test_filter_by_hand() -> None:
    """Log-ratios 0.1 and 0.1 pass a mean filter of 0.11 and not one of 0.09; KL still counts."""
    logp = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    given_to = Packed(
        logp,
        torch.tensor([0, 2]),
        behaviour=torch.full((2,), -0.1, dtype=torch.float64),
        advantages=torch.ones(2, dtype=torch.float64),
        kl=torch.full((2,), 3.0, dtype=torch.float64),
    )
    for limit, pulls in ((0.11, -math.exp(0.1)), (0.09, 0.0)):
        out = segment_losses(given_to, PolicyGradient(token=TOKEN, filter="mean", limit=limit))
        (grad,) = torch.autograd.grad(out.losses.sum(), logp)
        assert grad.tolist() == pytest.approx([pulls, pulls])
        assert out.losses.item() == pytest.approx(0.05 * 6.0)
        assert out.kept.tolist() == [pulls != 0.0]


def test_far_ratios_stay_finite() -> None:
    """Log-ratios of a thousand overflow nothing."""
    given_to = packed([2, 2])
    for shift in (-1000.0, 1000.0):
        assert given_to.behaviour is not None
        far = given_to._replace(behaviour=given_to.behaviour + shift)
        for objective in (OBJECTIVES[0], *OBJECTIVES[2:8]):
            out = segment_losses(far, objective)
            assert torch.isfinite(out.losses).all()
            assert torch.isfinite(out.grad_M).all()


@pytest.mark.parametrize(
    ("objective", "change", "problem"),
    [
        (OBJECTIVES[0], {"behaviour": None}, r"packed\.behaviour: PolicyGradient needs it"),
        (Kto(), {"baseline": None}, r"packed\.baseline: Kto needs it"),
        (Dpo(), {"bounds": torch.tensor([0, 4])}, r"packed\.bounds: 1 segments are no pairs"),
        (PolicyGradient(token=TOKEN, filter="all"), {}, r"objective\.filter: 'all'"),  # type: ignore[arg-type]
    ],
)
def test_refused(objective: Any, change: dict[str, Any], problem: str) -> None:
    """A missing field, half a pair and an unknown filter are refused by name."""
    with pytest.raises(ValueError, match=problem):
        segment_losses(packed([2, 2])._replace(**change), objective)
