"""The loss, by hand and against a second writing of it in float64."""

import math

import msgspec
import pytest
import torch
from tiny_learner import TINY
from torch import Tensor

from rlwd.kernels.dispatch import Packed, PolicyGradient, logp_head, segment_losses
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.loss import Loss, means, objective, swept_loss
from rlwd.learner.train.packing import Pack

PLAIN = msgspec.structs.replace(TINY, ratio_mask=0.0, negative_weight=1.0, kl_weight=0.0)
# A vocabulary of two and one hidden number x: logits (x, 0), so that x = 0 says 1/2 of the target.
HEAD = torch.tensor([[1.0], [0.0]], dtype=torch.float64)


def pack_of(behaviour: Tensor, targets: Tensor, heat: Tensor) -> Pack:
    """What the loss reads of a pack."""
    zeros = torch.zeros_like(targets)
    return Pack(
        ids_BT=zeros[None],
        positions_BT=zeros[None],
        rows_M=zeros,
        columns_M=zeros,
        targets_M=targets,
        segments_M=zeros,
        behaviour_M=behaviour,
        temperature_M=heat,
    )


def of_ratios(
    log_ratios: list[float],
    advantages: list[float],
    settings: LearnerSettings,
    normaliser: float,
    anchor: list[float] | None = None,
) -> tuple[Loss, list[float]]:
    """Loss of tokens that the policy gives 1/2, and its gradient to their log-probabilities."""
    hidden_MD = torch.zeros(len(log_ratios), 1, dtype=torch.float64, requires_grad=True)
    behaviour = math.log(0.5) - torch.tensor(log_ratios, dtype=torch.float64)
    targets = torch.zeros(len(log_ratios), dtype=torch.long)
    loss = swept_loss(
        hidden_MD,
        None if anchor is None else torch.tensor(anchor, dtype=torch.float64)[:, None],
        HEAD,
        pack_of(behaviour, targets, torch.ones_like(behaviour)),
        torch.tensor(advantages, dtype=torch.float64),
        normaliser=normaliser,
        settings=settings,
    )
    (grad_MD,) = torch.autograd.grad(loss.total, hidden_MD)
    return loss, (grad_MD[:, 0] / 0.5).tolist()  # d logp / dx = 1 - p


def pulls(log_ratios: list[float], advantages: list[float], **changes: object) -> list[float]:
    """Gradient to the log-probabilities, undivided."""
    return of_ratios(log_ratios, advantages, msgspec.structs.replace(PLAIN, **changes), 1.0)[1]


def test_ratio_is_truncated_and_not_differentiated() -> None:
    """Ratios 1/2, 1 and 4 pull with 1/2, 1 and the cap of 2, against the advantage's sign."""
    got = pulls([math.log(0.5), 0.0, math.log(4.0)], [1.0, 1.0, 3.0])
    assert got == pytest.approx([-0.5, -1.0, -6.0])


def test_negatives_weigh_less() -> None:
    """Below the baseline the pull is multiplied by negative_weight; zero learns nothing of it."""
    assert pulls([0.0, 0.0], [1.0, -1.0], negative_weight=0.2) == pytest.approx([-1.0, 0.2])
    assert pulls([0.0, 0.0], [1.0, -1.0], negative_weight=0.0) == pytest.approx([-1.0, 0.0])


@pytest.mark.parametrize(
    ("ratio", "advantage", "stays"),
    [
        (1.19, 1.0, True),
        (1.21, 1.0, False),
        (0.5, 1.0, True),
        (0.81, -1.0, True),
        (0.79, -1.0, False),
        (1.9, -1.0, True),
    ],
)
def test_mask_is_one_sided(ratio: float, advantage: float, stays: bool) -> None:
    """A token is left out only where its ratio already went where the step would push it."""
    (got,) = pulls([math.log(ratio)], [advantage], ratio_mask=0.2)
    assert got == pytest.approx(-ratio * advantage if stays else 0.0)
    assert pulls([math.log(ratio)], [advantage]) == pytest.approx([-ratio * advantage])


def test_mask_of_the_settings() -> None:
    """A step leaves out what `ratio_mask` says, and nothing else."""
    ratios = [math.log(ratio) for ratio in (1.19, 1.21, 0.81, 0.79)]
    got = pulls(ratios, [1.0, 1.0, -1.0, -1.0], ratio_mask=0.2)
    assert got == pytest.approx([-1.19, 0.0, 0.81, 0.0])


def test_far_ratios_stay_finite() -> None:
    """A log-ratio of a thousand is held at twenty, so nothing overflows."""
    assert pulls([1000.0], [1.0]) == pytest.approx([-2.0])
    assert pulls([-1000.0], [1.0]) == pytest.approx([-math.exp(-20)])


def test_kl_is_added_by_weight() -> None:
    """The KL's sum over the normaliser, times its weight, is added."""
    settings = msgspec.structs.replace(PLAIN, kl_weight=0.1)
    loss, _ = of_ratios([0.0, 0.0], [0.0, 0.0], settings, 8.0, anchor=[math.log(3.0), 0.0])
    apart = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert loss.total.item() == pytest.approx(0.1 * apart / 8.0)


def test_against_a_second_writing() -> None:
    """Value and gradient equal a token-by-token loop in float64 to 1e-12."""
    draw = torch.Generator().manual_seed(1)
    log_ratios = (torch.randn(50, generator=draw, dtype=torch.float64) * 0.4).tolist()
    advantages = torch.randn(50, generator=draw, dtype=torch.float64).tolist()
    loss, grads = of_ratios(log_ratios, advantages, TINY, 70.0)
    wanted, slopes = 0.0, []
    for log_ratio, advantage in zip(log_ratios, advantages, strict=True):
        rho = math.exp(log_ratio)
        gone = (advantage > 0 and rho > 1.2) or (advantage < 0 and rho < 0.8)
        side = 0.2 if advantage < 0 else 1.0
        slopes.append(0.0 if gone else -min(rho, 2.0) * side * advantage / 70.0)
        wanted += slopes[-1] * math.log(0.5)
    assert loss.total.item() == pytest.approx(wanted, rel=1e-12)
    assert grads == pytest.approx(slopes, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(
    ("dtype", "rough"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=["fp64", "fp32"]
)
def test_the_sweep_is_the_packed_loss(dtype: torch.dtype, rough: float) -> None:
    """What a step uses equals the packed policy gradient on the head's outputs, by any bounds."""
    draw = torch.Generator().manual_seed(2)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=dtype)

    one, other, weight, noise, advantages = (
        normal(*shape) for shape in ((6, 4), (6, 4), (9, 4), (6,), (6,))
    )
    heat, targets = torch.full((6,), 0.7, dtype=dtype), torch.randint(9, (6,), generator=draw)
    behaviour = logp_head(one, None, weight, targets, heat).logp + 0.3 * noise
    packed = pack_of(behaviour, targets, heat)
    ours, theirs = one.clone().requires_grad_(), one.clone().requires_grad_()
    got = swept_loss(ours, other, weight, packed, advantages, normaliser=5.0, settings=TINY)
    out = logp_head(theirs, other, weight, targets, heat)
    episodes = Packed(out.logp, torch.tensor([0, 4, 4, 6]), behaviour, advantages, out.kl)
    wanted = segment_losses(episodes, PolicyGradient(token=objective(TINY))).losses.sum() / 5.0
    torch.testing.assert_close(got.total, wanted, rtol=rough, atol=rough)
    grads = torch.autograd.grad(got.total, ours), torch.autograd.grad(wanted, theirs)
    torch.testing.assert_close(*grads, rtol=10 * rough, atol=rough)


def test_diagnostics_by_hand() -> None:
    """Ratios 1/2 and 2 with a mask of 0.2: shares, k3 and effective sample size."""
    settings = msgspec.structs.replace(TINY, ratio_cap=1.5)
    loss, _ = of_ratios([math.log(0.5), math.log(2.0)], [1.0, 1.0], settings, 2.0)
    got = means(loss.sums)
    assert got["ratio/masked"] == 0.5
    assert got["ratio/capped"] == 0.5
    assert got["ratio/mean"] == pytest.approx(1.25)
    assert got["ratio/ess"] == pytest.approx(2.5**2 / (2 * 4.25))
    assert got["ratio/k3"] == pytest.approx((0.5 + math.log(2) - 1 + 2 - math.log(2) - 1) / 2)
    assert got["loss/policy"] == pytest.approx(-0.5 * math.log(0.5) / 2)
    assert got["entropy"] == pytest.approx(math.log(2.0))
    assert got["advantage/negative_share"] == 0.0
