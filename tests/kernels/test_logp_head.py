"""The head's sums: equal to plain autograd, whatever the chunk, and only the hidden states learn."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rlwd.kernels import dispatch, reference
from rlwd.kernels.reference import HeadOutputs

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def inputs(tokens: int, width: int, vocabulary: int, dtype: torch.dtype = torch.float64) -> Inputs:
    draw = torch.Generator().manual_seed(tokens * 1000 + vocabulary)
    hidden = torch.randn(tokens, width, generator=draw, dtype=torch.float64).to(dtype)
    anchor = torch.randn(tokens, width, generator=draw, dtype=torch.float64).to(dtype)
    weight = torch.randn(vocabulary, width, generator=draw, dtype=torch.float64).to(dtype)
    targets = torch.randint(vocabulary, (tokens,), generator=draw)
    temperature = 0.5 + torch.rand(tokens, generator=draw, dtype=torch.float64)
    return hidden.requires_grad_(), anchor, weight, targets, temperature


def plain(
    hidden: Tensor, anchor: Tensor, weight: Tensor, targets: Tensor, temperature: Tensor
) -> HeadOutputs:
    """The same by autograd, every logit at once."""
    z = hidden @ weight.T / temperature[:, None]
    logp = z.log_softmax(-1)
    logq = (anchor @ weight.T / temperature[:, None]).log_softmax(-1)
    return HeadOutputs(
        logp.gather(1, targets[:, None])[:, 0],
        z.logsumexp(-1),
        -(logp.exp() * logp).sum(-1),
        (logp.exp() * (logp - logq)).sum(-1),
    )


def test_worked_example() -> None:
    """The numbers in the docstring: probabilities 3/4 and 1/4 against an even anchor."""
    hidden, even = torch.tensor([[1.0]]), torch.tensor([[0.0]])
    weight = torch.tensor([[torch.log(torch.tensor(3.0))], [0.0]])
    out = dispatch.logp_head(hidden, even, weight, torch.tensor([0]), torch.ones(1))
    assert [round(float(value), 4) for value in out] == [-0.2877, 1.3863, 0.5623, 0.1308]


@pytest.mark.parametrize(("tokens", "width", "vocabulary"), [(1, 1, 2), (7, 5, 11), (33, 16, 123)])
@pytest.mark.parametrize("chunk", [1, 4, 1024])
def test_equals_autograd(tokens: int, width: int, vocabulary: int, chunk: int) -> None:
    """Values and gradients of all four outputs are autograd's to 1e-12 in float64."""
    given = inputs(tokens, width, vocabulary)
    ours, theirs = reference.logp_head(*given, chunk_tokens=chunk), plain(*given)
    draw = torch.Generator().manual_seed(0)
    scale = [torch.randn(tokens, generator=draw, dtype=torch.float64) for _ in ours]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    (grad,) = torch.autograd.grad(sum_of(ours, scale), given[0])
    (wanted,) = torch.autograd.grad(sum_of(theirs, scale), given[0])
    torch.testing.assert_close(grad, wanted, rtol=1e-11, atol=1e-12)


def sum_of(out: HeadOutputs, scale: list[Tensor]) -> Tensor:
    return torch.stack([(o * s).sum() for o, s in zip(out, scale, strict=True)]).sum()


def test_gradcheck() -> None:
    """Finite differences agree with the gradient of every output."""
    hidden, anchor, weight, targets, temperature = inputs(5, 4, 9)

    def outputs(states: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            reference.logp_head(states, anchor, weight, targets, temperature, chunk_tokens=2)
        )

    assert torch.autograd.gradcheck(outputs, (hidden,))


def test_chunks_change_no_bit() -> None:
    """A token's outputs do not depend on which chunk it falls into, up to the GEMM's rounding."""
    given = inputs(64, 16, 50, torch.float32)
    whole, split = (reference.logp_head(*given, chunk_tokens=size) for size in (64, 16))
    for one, other in zip(whole, split, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-6)


def test_no_worse_than_plain_float32() -> None:
    """In float32 the error against float64 is no larger than plain PyTorch's, plus a hair."""
    given = inputs(40, 32, 300, torch.float32)
    exact = plain(*(t.double() if t.is_floating_point() else t for t in given))  # type: ignore[arg-type]
    naive = plain(*(t.float() if t.is_floating_point() else t for t in given))  # type: ignore[arg-type]
    ours = dispatch.logp_head(*given)
    for one, other, truth in zip(ours, naive, exact, strict=True):
        assert (one - truth).abs().max() <= (other - truth).abs().max() * 1.5 + 1e-6


def test_bfloat16_logits_are_float32() -> None:
    """For bfloat16 states the outputs equal those of the same numbers held in float32."""
    hidden, anchor, weight, targets, temperature = inputs(9, 8, 31, torch.bfloat16)
    low = dispatch.logp_head(hidden, anchor, weight, targets, temperature)
    high = dispatch.logp_head(hidden.float(), anchor.float(), weight.float(), targets, temperature)
    for one, other in zip(low, high, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)
    low.logp.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.bfloat16


def test_no_anchor() -> None:
    """Without an anchor the KL is zero and pulls nowhere."""
    hidden, _, weight, targets, temperature = inputs(3, 4, 6)
    out = dispatch.logp_head(hidden, None, weight, targets, temperature)
    out.kl.sum().backward()
    assert out.kl.tolist() == [0.0, 0.0, 0.0]
    assert hidden.grad is not None
    assert not hidden.grad.any()


def test_no_tokens() -> None:
    """A pack without completion tokens gives a zero that can still be differentiated."""
    hidden, anchor, weight, targets, temperature = inputs(0, 4, 6)
    out = dispatch.logp_head(hidden, anchor, weight, targets, temperature)
    (out.logp.sum() + out.kl.sum()).backward()
    assert hidden.grad is not None
    assert hidden.grad.shape == (0, 4)


def test_head_is_frozen() -> None:
    """Neither the head nor the anchor gets a gradient, even where they ask for one."""
    hidden, anchor, weight, targets, temperature = inputs(3, 4, 6)
    anchor.requires_grad_()
    weight.requires_grad_()
    out = dispatch.logp_head(hidden, anchor, weight, targets, temperature)
    (out.logp + out.kl).sum().backward()
    assert anchor.grad is None
    assert weight.grad is None


def test_unknown_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    """RLWD_KERNELS chooses by name, and a name that is not there is refused with the choices."""
    given = inputs(2, 3, 4)
    called: list[int] = []

    def counted(*arguments: Tensor) -> HeadOutputs:
        called.append(len(arguments))
        return reference.logp_head(*arguments)  # type: ignore[arg-type]

    implementations: dict[str, Callable[..., HeadOutputs]] = {"counted": counted}
    monkeypatch.setattr(
        dispatch, "IMPLEMENTATIONS", {**dispatch.IMPLEMENTATIONS, **implementations}
    )
    monkeypatch.setenv("RLWD_KERNELS", "counted")
    dispatch.logp_head(*given)
    assert called == [5]
    monkeypatch.setenv("RLWD_KERNELS", "fastest")
    with pytest.raises(ValueError, match=r"RLWD_KERNELS: 'fastest' is not one of reference"):
        dispatch.logp_head(*given)
