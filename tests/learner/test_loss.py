"""The loss, by hand and against a second writing of it in float64."""

import math

import msgspec
import pytest
import torch
from torch import Tensor

from rlwd.kernels.dispatch import HeadOutputs, logp_head
from rlwd.learner.batch import Pack
from rlwd.learner.loss import kept, means, policy_loss, swept_loss
from rlwd.learner.settings import DEMO

PLAIN = msgspec.structs.replace(DEMO, ratio_mask=0.0, negative_weight=1.0, kl_weight=0.0)


def head(logp: Tensor, kl: Tensor | None = None) -> HeadOutputs:
    zeros = torch.zeros_like(logp)
    return HeadOutputs(logp, zeros, zeros, zeros if kl is None else kl, zeros)


def grad_of(
    logp: list[float], behaviour: list[float], advantages: list[float], **changes: object
) -> list[float]:
    """Gradient to the log-probabilities, times the number of tokens."""
    logp_M = torch.tensor(logp, dtype=torch.float64, requires_grad=True)
    loss = policy_loss(
        head(logp_M),
        torch.tensor(behaviour, dtype=torch.float64),
        torch.tensor(advantages, dtype=torch.float64),
        normaliser=float(len(logp)),
        settings=msgspec.structs.replace(PLAIN, **changes),
    )
    (grad_M,) = torch.autograd.grad(loss.total, logp_M)
    return [value * len(logp) for value in grad_M.tolist()]


def test_ratio_is_truncated_and_not_differentiated() -> None:
    """Ratios 1/2, 1 and 4 pull with 1/2, 1 and the cap of 2, against the advantage's sign."""
    half, double = math.log(0.5), math.log(4.0)
    got = grad_of([half, -1.0, double - 3], [0.0, -1.0, -3.0], [1.0, 1.0, 3.0])
    assert got == pytest.approx([-0.5, -1.0, -6.0])


def test_negatives_weigh_less() -> None:
    """Below the baseline the pull is multiplied by negative_weight; zero learns nothing of it."""
    assert grad_of([0.0, 0.0], [0.0, 0.0], [1.0, -1.0], negative_weight=0.2) == [-1.0, 0.2]
    assert grad_of([0.0, 0.0], [0.0, 0.0], [1.0, -1.0], negative_weight=0.0) == [-1.0, 0.0]


@pytest.mark.parametrize(
    ("ratio", "advantage", "pulls"),
    [
        (1.19, 1.0, True),
        (1.21, 1.0, False),
        (0.5, 1.0, True),
        (0.81, -1.0, True),
        (0.79, -1.0, False),
        (5.0, -1.0, True),
        (5.0, 0.0, True),
    ],
)
def test_mask_is_one_sided(ratio: float, advantage: float, pulls: bool) -> None:
    """A token is left out only where its ratio already went where the step would push it."""
    got = kept(torch.tensor([ratio]), torch.tensor([advantage]), 0.2)
    assert got.tolist() == [pulls]
    assert kept(torch.tensor([ratio]), torch.tensor([advantage]), 0.0).tolist() == [True]


def test_far_ratios_stay_finite() -> None:
    """A log-ratio of a thousand is held at twenty, so nothing overflows."""
    assert grad_of([0.0], [-1000.0], [1.0]) == [-2.0]
    (tiny,) = grad_of([-1000.0], [0.0], [1.0])
    assert tiny == pytest.approx(-math.exp(-20))


def test_kl_is_added_by_weight() -> None:
    """The KL's mean over the normaliser, times its weight, is added."""
    kl = torch.tensor([1.0, 3.0])
    loss = policy_loss(
        head(torch.zeros(2), kl),
        torch.zeros(2),
        torch.zeros(2),
        normaliser=8.0,
        settings=msgspec.structs.replace(PLAIN, kl_weight=0.1),
    )
    assert float(loss.total) == pytest.approx(0.1 * 4.0 / 8.0)


def test_against_a_second_writing() -> None:
    """Value and gradient equal a token-by-token loop in float64 to 1e-12."""
    draw = torch.Generator().manual_seed(1)
    logp = -torch.rand(50, generator=draw, dtype=torch.float64) * 3
    behaviour = logp + torch.randn(50, generator=draw, dtype=torch.float64) * 0.4
    advantages = torch.randn(50, generator=draw, dtype=torch.float64)
    ours = logp.clone().requires_grad_()
    got = policy_loss(head(ours), behaviour, advantages, normaliser=70.0, settings=DEMO).total
    theirs = logp.clone().requires_grad_()
    wanted = torch.zeros((), dtype=torch.float64)
    for lp, mu, advantage in zip(theirs, behaviour, advantages, strict=True):
        rho = math.exp(lp.item() - mu.item())
        if (advantage > 0 and rho > 1.2) or (advantage < 0 and rho < 0.8):
            continue
        weight = 0.2 if advantage < 0 else 1.0
        wanted = wanted - min(rho, 2.0) * weight * advantage * lp / 70.0
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    (one,), (other,) = torch.autograd.grad(got, ours), torch.autograd.grad(wanted, theirs)
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_swept_equals_the_loss_on_outputs() -> None:
    """What a step uses, formed in the head's sweep, is `policy_loss` of the head's outputs."""
    draw = torch.Generator().manual_seed(2)
    one, other = (torch.randn(6, 4, generator=draw, dtype=torch.float64) for _ in range(2))
    weight = torch.randn(9, 4, generator=draw, dtype=torch.float64)
    heat = torch.full((6,), 0.7, dtype=torch.float64)
    targets, segments = torch.randint(9, (6,), generator=draw), torch.zeros(6, dtype=torch.long)
    advantages = torch.randn(6, generator=draw, dtype=torch.float64)
    out = logp_head(one, None, weight, targets, heat)
    packed = Pack(
        ids_BT=segments[None],
        positions_BT=segments[None],
        rows_M=segments,
        columns_M=segments,
        targets_M=targets,
        segments_M=segments,
        behaviour_M=out.logp + 0.3 * torch.randn(6, generator=draw, dtype=torch.float64),
        temperature_M=heat,
    )
    ours, theirs = one.clone().requires_grad_(), one.clone().requires_grad_()
    got = swept_loss(ours, other, weight, packed, advantages, normaliser=5.0, settings=DEMO)
    wanted = policy_loss(
        logp_head(theirs, other, weight, targets, heat),
        packed.behaviour_M,
        advantages,
        normaliser=5.0,
        settings=DEMO,
    )
    torch.testing.assert_close(got.total, wanted.total, rtol=1e-12, atol=1e-12)
    assert got.sums == pytest.approx(wanted.sums)
    grads = torch.autograd.grad(got.total, ours), torch.autograd.grad(wanted.total, theirs)
    torch.testing.assert_close(*grads, rtol=1e-11, atol=1e-13)


def test_diagnostics_by_hand() -> None:
    """Ratios 1/2 and 2 with a mask of 0.2: shares, k3 and effective sample size."""
    logs = [math.log(0.5), math.log(2.0)]
    loss = policy_loss(
        head(torch.tensor(logs, dtype=torch.float64)),
        torch.zeros(2, dtype=torch.float64),
        torch.tensor([1.0, 1.0], dtype=torch.float64),
        normaliser=2.0,
        settings=msgspec.structs.replace(DEMO, ratio_cap=1.5),
    )
    got = means(loss.sums)
    assert got["ratio/masked"] == 0.5
    assert got["ratio/capped"] == 0.5
    assert got["ratio/mean"] == pytest.approx(1.25)
    assert got["ratio/ess"] == pytest.approx(2.5**2 / (2 * 4.25))
    assert got["mismatch/k3"] == pytest.approx((0.5 + math.log(2) - 1 + 2 - math.log(2) - 1) / 2)
    assert got["loss/policy"] == pytest.approx(-0.5 * math.log(0.5) / 2)
    assert got["advantage/negative_share"] == 0.0
