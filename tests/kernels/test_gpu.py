"""On a GPU: the Triton kernels err no more than plain PyTorch in that dtype, and always alike."""

from typing import Any

import bench_heads
import bench_others
import pytest
import torch
from heads_by_hand import OBJECTIVE, Given, draw, off_policy, plain, plain_loss

from rlwd.kernels.delta import WeightSnapshot, apply_patches
from rlwd.kernels.digest import digest
from rlwd.kernels.dispatch import (
    Dpo,
    Kto,
    Packed,
    PolicyGradient,
    chosen_kernels,
    logp_head,
    segment_losses,
    token_loss,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
SHAPES = [(1, 64, 2), (7, 48, 1001), (130, 128, 5003), (300, 256, 32000), (33, 1536, 151936)]


@pytest.fixture(autouse=True)
def choose_by_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a device and dtype get by themselves; truths on the CPU are the reference's."""
    monkeypatch.delenv("RLWD_KERNELS", raising=False)


def on_gpu(given: Given, dtype: torch.dtype) -> Given:
    """The inputs on the GPU, logits kept to a spread of a few nats."""
    scaled = given._replace(weight=given.weight / given.weight.shape[1] ** 0.5 * 3.0).to(dtype)
    moved = [None if t is None else t.detach().cuda() for t in scaled]
    hidden, anchor, weight, targets, temperature = moved
    assert hidden is not None
    assert weight is not None
    assert targets is not None
    assert temperature is not None
    return Given(hidden.requires_grad_(), anchor, weight, targets, temperature.float())


def exactly(given: Given) -> Given:
    """The same numbers in float64."""
    return given.to(torch.float64)


def in_its_dtype(given: Given) -> Given:
    return given._replace(temperature=given.temperature.to(given.hidden.dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "fp32"])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_worse_than_plain(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    """Outputs, and gradient rows relative to their length, are as near float64 as plain PyTorch's."""
    assert chosen_kernels(torch.device("cuda"), dtype) == "triton"
    given = on_gpu(draw(*shape), dtype)
    truth, naive = exactly(given), in_its_dtype(on_gpu(draw(*shape), dtype))
    outputs = logp_head(*given), plain(naive), plain(truth)
    for one, other, exact in zip(*outputs, strict=True):
        ours, theirs = ((each.double() - exact).abs().max() for each in (one, other))
        # A normaliser of 28 is 2e-6 to the next float32, and its GEMM rounds some of those.
        assert ours <= theirs * 1.1 + 2e-5 + 2e-6 * exact.abs().max()
    pull = torch.linspace(-1.0, 1.0, shape[0], device="cuda", dtype=torch.float64)
    grads = [
        torch.autograd.grad(
            ((out.logp + 0.1 * out.kl) * pull.to(out.logp.dtype)).sum(), each.hidden
        )
        for out, each in zip(outputs, (given, naive, truth), strict=True)
    ]
    exact = grads[2][0]
    scale = exact.norm(dim=1) + 1e-9
    ours, theirs = ((each[0].double() - exact).norm(dim=1) / scale for each in grads[:2])
    allowed = 6e-3 if dtype == torch.bfloat16 else 2e-5
    assert ours.mean() <= theirs.mean() * 1.1 + allowed
    assert ours.max() <= theirs.max() * 1.5 + allowed


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("train_head", [False, True])
def test_token_loss(shape: tuple[int, int, int], train_head: bool) -> None:
    """The loss formed in the sweep, and its gradients, agree with float64 to bfloat16's rounding."""
    given = on_gpu(draw(*shape), torch.bfloat16)
    truth = exactly(given)
    for each in (given, truth):
        each.weight.requires_grad_(train_head)
    behaviour, advantages = off_policy(truth)
    loss, _, weights = token_loss(
        *given,
        behaviour.float(),
        advantages.float(),
        OBJECTIVE,
        normaliser=float(shape[0]),
        train_head=train_head,
    )
    exact = plain_loss(truth, float(shape[0]))
    assert (loss.double() - exact).abs() <= 1e-3 * (1.0 + exact.abs())
    assert torch.isfinite(weights).all()
    inputs = [[each.hidden, each.weight][: 1 + train_head] for each in (given, truth)]
    for one, other in zip(
        torch.autograd.grad(loss, inputs[0]), torch.autograd.grad(exact, inputs[1]), strict=True
    ):
        assert (one.double() - other).norm() <= 1e-2 * other.norm() + 1e-6


def test_same_bits_again() -> None:
    """Two runs on the same numbers give the same bits."""
    runs = []
    for _ in range(2):
        given = on_gpu(draw(300, 256, 32003), torch.bfloat16)
        out = logp_head(*given)
        (grad,) = torch.autograd.grad(out.logp.sum() + out.kl.sum(), given.hidden)
        runs.append([*out, grad])
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))


def test_memory_is_bounded() -> None:
    """16,384 tokens of a vocabulary of 151,936 stay within 1.3 GB beyond inputs and outputs."""
    tokens, width, vocabulary = 16384, 64, 151936
    given = Given(
        torch.randn(tokens, width, device="cuda", dtype=torch.bfloat16).requires_grad_(),
        torch.randn(tokens, width, device="cuda", dtype=torch.bfloat16),
        torch.randn(vocabulary, width, device="cuda", dtype=torch.bfloat16),
        torch.randint(vocabulary, (tokens,), device="cuda"),
        torch.ones(tokens, device="cuda"),
    )
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = logp_head(*given)
    (out.logp.sum() + out.kl.sum()).backward()  # type: ignore[no-untyped-call]
    assert torch.cuda.max_memory_allocated() - before <= 1.3e9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "objective",
    [PolicyGradient(token=OBJECTIVE, filter="k3", limit=0.005, drift_weight=1e-3), Kto(), Dpo()],
    ids=lambda o: type(o).__name__,
)
def test_segments(objective: Any, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack of 256 episodes agrees with the reference on the CPU in float64."""
    source = torch.Generator().manual_seed(0)
    lengths = torch.randint(0, 260, (256,), generator=source)
    tokens = int(lengths.sum())

    def normal() -> torch.Tensor:
        return torch.randn(tokens, generator=source, dtype=torch.float64)

    logp = -normal().abs()
    packed = Packed(
        logp=logp,
        bounds=torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)]),
        behaviour=logp + 0.1 * normal(),
        advantages=normal(),
        kl=normal().abs(),
        reference=logp + 0.01 * normal(),
        desirable=torch.rand(256, generator=source) < 0.5,
        baseline=torch.zeros(1, dtype=torch.float64),
    )
    exact = segment_losses(packed, objective)
    monkeypatch.setenv("RLWD_KERNELS", "triton")
    moved = Packed._make(_cuda(values, dtype) for values in packed)
    got = segment_losses(moved, objective)
    rough = 2e-4 if dtype == torch.float32 else 1e-11
    assert (
        (got.losses.cpu().double() - exact.losses).abs() <= rough * (1 + exact.losses.abs())
    ).all()
    assert ((got.grad_M.cpu().double() - exact.grad_M).abs() <= rough).float().mean() > 0.999
    assert torch.equal(got.kept.cpu(), exact.kept)


def _cuda(values: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    if values is None:
        return None
    return values.cuda().to(dtype) if values.is_floating_point() else values.cuda()


def test_delta() -> None:
    """Patches made on the GPU rebuild every byte there and on the CPU, under one digest."""
    before = {"w": torch.randn(4097, 1031, device="cuda").mul_(0.02).bfloat16()}
    after = {"w": (before["w"].float() + 1e-4 * torch.randn_like(before["w"])).bfloat16()}
    patches = WeightSnapshot(before).changes(after)
    served = {"w": before["w"].clone()}
    apply_patches(served, patches)
    assert torch.equal(served["w"].view(torch.int16), after["w"].view(torch.int16))
    assert digest(after["w"]) == digest(after["w"].cpu()) == patches[0].digest
    assert 0 < len(patches[0].indices) < before["w"].numel()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", bench_others.OTHERS)
def test_other_heads(name: str) -> None:
    """A head of another package, where it is installed, makes float64's gradient to its own rounding."""
    if why := bench_others.missing(name):
        pytest.skip(why)
    task = bench_heads.draw(256, 256, 5120, 0.5, False, "cuda", "bfloat16")
    exact = task.exact()
    (got,) = torch.autograd.grad(bench_others.OTHERS[name].run(task), task.hidden)
    (wanted,) = torch.autograd.grad(bench_heads.eager(exact), exact.hidden)
    assert (got.double() - wanted).norm() <= 0.1 * wanted.norm()
