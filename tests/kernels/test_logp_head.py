"""The head's sums equal plain autograd, whatever the chunk, and only the hidden states learn.

These run twice: here through the reference, and through the Triton kernels in `test_interpreted`.
"""

import os
from typing import Any

import pytest
import torch
from heads_by_hand import BOUNDED, OBJECTIVE, Given, draw, off_policy, plain, plain_loss
from hypothesis import given as over
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from rlwd.kernels import dispatch
from rlwd.kernels.dispatch import HeadOutputs, TokenObjective, logp_head, token_loss
from rlwd.kernels.reference import Reference

INTERPRETED = os.environ.get("RLWD_KERNELS") == "interpret"
SHAPES = [(1, 1, 2), (7, 5, 11), (5, 16, 123), (3, 8, 2100)]
"""Rows, width, vocabulary; interpreted each row is dear, and what a chunk of four leaves is in two of them."""


def pulled(out: HeadOutputs, names: tuple[str, ...]) -> Tensor:
    """A loss on the named outputs with a coefficient of its own for every token."""
    source = torch.Generator().manual_seed(0)
    parts = [getattr(out, name) for name in names]
    scale = [torch.randn(len(p), generator=source, dtype=torch.float64).to(p.dtype) for p in parts]
    return torch.stack([(p * s).sum() for p, s in zip(parts, scale, strict=True)]).sum()


def test_worked_example() -> None:
    """The numbers in the docstring: probabilities 3/4 and 1/4 against an even anchor."""
    hidden, even = torch.tensor([[1.0]]), torch.tensor([[0.0]])
    weight = torch.tensor([[torch.log(torch.tensor(3.0))], [0.0]])
    out = logp_head(hidden, even, weight, torch.tensor([0]), torch.ones(1))
    shown = [round(float(value), 4) for value in out]
    assert shown == [-0.2877, 1.3863, 0.5623, 0.1308, 0.6931]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("names", [("logp",), ("logp", "kl"), ("logp", "lse", "entropy", "kl")])
@pytest.mark.parametrize("train_head", [False, True])
def test_equals_autograd(
    shape: tuple[int, int, int], names: tuple[str, ...], train_head: bool
) -> None:
    """Values and gradients are autograd's to 1e-12 in float64, by scaling rows or sweeping again."""
    given = draw(*shape)
    given.weight.requires_grad_(train_head)
    ours, theirs = logp_head(*given, train_head=train_head, chunk_tokens=4), plain(given)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    learns = [given.hidden, given.weight] if train_head else [given.hidden]
    got = torch.autograd.grad(pulled(ours, names), learns)
    wanted = torch.autograd.grad(pulled(theirs, names), learns)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("train_head", [False, True])
@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("objective", [OBJECTIVE, BOUNDED], ids=["masked", "bounded"])
def test_token_loss_equals_autograd(
    shape: tuple[int, int, int], train_head: bool, anchored: bool, objective: TokenObjective
) -> None:
    """The loss formed in the sweep, and its one gradient, are autograd's to 1e-12 in float64."""
    given = draw(*shape)
    given = given if anchored else given._replace(anchor=None)
    given.weight.requires_grad_(train_head)
    behaviour, advantages = off_policy(given)
    loss, out, _ = token_loss(
        *given,
        behaviour,
        advantages,
        objective,
        normaliser=7.0,
        train_head=train_head,
        chunk_tokens=4,
    )
    wanted = plain_loss(given, 7.0, objective)
    torch.testing.assert_close(loss, wanted, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(out.logp, plain(given).logp, rtol=1e-12, atol=1e-12)
    learns = [given.hidden, given.weight] if train_head else [given.hidden]
    for one, other in zip(
        torch.autograd.grad(3 * loss, learns), torch.autograd.grad(3 * wanted, learns), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("train_head", [False, True])
def test_another_head_of_the_anchor_and_weights_of_rows(train_head: bool) -> None:
    """An anchor of half the states under a head of twice the weights is the same anchor; rows count by weight,
    in the gradient of the head too."""
    given = draw(7, 5, 11)
    anchor = given.anchor
    assert anchor is not None
    given.weight.requires_grad_(train_head)
    behaviour, advantages = off_policy(given)
    asked = (given.hidden, anchor / 2, *given[2:])
    by = torch.linspace(0.0, 2.0, 7, dtype=torch.float64)
    kinds: dict[str, Any] = {"train_head": train_head, "chunk_tokens": 3}
    loss, out, _ = token_loss(
        *asked,
        behaviour,
        advantages,
        OBJECTIVE,
        normaliser=7.0,
        row_weights_M=by,
        anchor_weight_VD=2 * given.weight.detach(),
        **kinds,
    )
    truth = plain(given)
    torch.testing.assert_close(out.kl, truth.kl.detach(), rtol=1e-12, atol=1e-12)
    parts = []
    for row in range(7):
        one = Given(
            given.hidden[row : row + 1],
            anchor[row : row + 1],
            given.weight,
            given.targets[row : row + 1],
            given.temperature[row : row + 1],
        )
        rows = (behaviour[row : row + 1], advantages[row : row + 1])
        parts.append(token_loss(*one, *rows, OBJECTIVE, normaliser=7.0, train_head=train_head)[0])
    wanted = torch.stack(parts) @ by
    learns = [given.hidden, given.weight] if train_head else [given.hidden]
    torch.testing.assert_close(loss, wanted, rtol=1e-12, atol=1e-13)
    for ours, theirs in zip(
        torch.autograd.grad(loss, learns), torch.autograd.grad(wanted, learns), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-13)
    logp = logp_head(*asked, anchor_weight_VD=2 * given.weight.detach(), **kinds)
    for ours, theirs in zip(logp, truth, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_gradcheck() -> None:
    """Finite differences agree with the gradient of every output, and of the trained head."""
    given = draw(3, 3, 5)

    def outputs(hidden: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        out = logp_head(
            hidden,
            given.anchor,
            weight,
            *given[3:],
            train_head=weight.requires_grad,
            chunk_tokens=2,
        )
        return tuple(out[:4] if given.anchor is not None else out[:3])

    assert torch.autograd.gradcheck(outputs, (given.hidden, given.weight))
    alone = given._replace(anchor=None)
    given = alone  # the anchor goes through the head too, as a constant that differences would move
    assert torch.autograd.gradcheck(outputs, (given.hidden, given.weight.requires_grad_()))


@settings(max_examples=8 if INTERPRETED else 60, deadline=None)
@over(
    tokens=st.integers(0, 9),
    width=st.integers(1, 9),
    vocabulary=st.integers(2, 70),
    chunk=st.integers(1, 12),
    seed=st.integers(0, 2**16),
)
def test_any_shape(tokens: int, width: int, vocabulary: int, chunk: int, seed: int) -> None:
    """Any shape, chunk and order of rows gives autograd's values and gradients in float64."""
    given = draw(tokens, width, vocabulary, seed=seed)
    order = torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))
    anchor = given.anchor
    assert anchor is not None
    shuffled = Given(
        given.hidden.detach()[order].requires_grad_(),
        anchor[order],
        given.weight,
        given.targets[order],
        given.temperature[order],
    )
    ours, theirs = logp_head(*shuffled, chunk_tokens=chunk), plain(given)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other[order], rtol=1e-11, atol=1e-11)
    (got,) = torch.autograd.grad(ours.logp.sum() + ours.kl.sum(), shuffled.hidden)
    (wanted,) = torch.autograd.grad(theirs.logp.sum() + theirs.kl.sum(), given.hidden)
    torch.testing.assert_close(got, wanted[order], rtol=1e-10, atol=1e-10)


def test_chunks_bound_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens, the sweep asks for no more logits at once than a chunk holds."""
    for vocabulary in (260, 32768, 151936, 2**20):
        assert Reference().chunk_tokens(vocabulary, anchored=True) * vocabulary <= 2**27
    given = draw(20, 4, 50)
    kernel = type(dispatch.head_kernel(given.hidden))
    real, shapes = kernel.product, []

    def product(self: Any, left: Tensor, right: Tensor, *scratch: Any) -> Tensor:
        shapes.append((len(left), len(right)))
        return real(self, left, right, *scratch)

    monkeypatch.setattr(kernel, "product", product)
    monkeypatch.setattr(kernel, "chunk_tokens", lambda *_, **__: 8)
    out = logp_head(*given)
    (out.logp.sum() + out.kl.sum()).backward()  # type: ignore[no-untyped-call]
    assert shapes == [(8, 50)] * 4 + [(4, 50)] * 2


@pytest.mark.parametrize("sizes", [(24, 8), (24, 7)])
def test_chunks_change_nothing(sizes: tuple[int, int]) -> None:
    """A token's outputs do not depend on which chunk it falls into, up to the GEMM's rounding."""
    given = draw(24, 16, 50, torch.float32)
    whole, split = (logp_head(*given, chunk_tokens=size) for size in sizes)
    for one, other in zip(whole, split, strict=True):
        # One unit in the last place of a value near 12 is 1e-6 of it, and which GEMM runs depends
        # on the rows and on the processor.
        torch.testing.assert_close(one, other, rtol=1e-6, atol=2e-6)


def test_same_bits_again() -> None:
    """The same call gives the same bits, values and gradient."""
    runs = []
    for _ in range(2):
        given = draw(9, 8, 300, torch.float32)
        out = logp_head(*given)
        (grad,) = torch.autograd.grad(pulled(out, ("logp", "kl")), given.hidden)
        runs.append([*out, grad])
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))


def test_no_worse_than_plain_float32() -> None:
    """In float32 the error against float64 is plain PyTorch's, on the mean and at worst."""
    given = draw(40, 32, 300, torch.float32)
    exact, naive = given.to(torch.float64), given.to(torch.float32)
    outputs = logp_head(*given), plain(naive), plain(exact)
    for one, other, truth in zip(*outputs, strict=True):
        assert (one - truth).abs().max() <= (other - truth).abs().max() * 1.5 + 2e-6
    grads = [
        torch.autograd.grad(pulled(out, ("logp", "kl")), inputs.hidden)[0].double()
        for out, inputs in zip(outputs, (given, naive, exact), strict=True)
    ]
    scale = grads[2].norm(dim=1)
    ours, theirs = ((grad - grads[2]).norm(dim=1) / scale for grad in grads[:2])
    assert ours.mean() <= theirs.mean() * 1.5 + 1e-6
    assert ours.max() <= theirs.max() * 3.0 + 1e-6


@pytest.mark.skipif(INTERPRETED, reason="the interpreter is silently wrong for bfloat16")
def test_bfloat16_logits_are_float32() -> None:
    """For bfloat16 states the outputs equal those of the same numbers held in float32."""
    given = draw(9, 8, 31, torch.bfloat16)
    low, high = logp_head(*given), logp_head(*given.to(torch.float32))
    for one, other in zip(low, high, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)
    low.logp.sum().backward()  # type: ignore[no-untyped-call]
    assert given.hidden.grad is not None
    assert given.hidden.grad.dtype == torch.bfloat16


def test_no_anchor() -> None:
    """Without an anchor the KL is zero and pulls nowhere."""
    given = draw(3, 4, 6)._replace(anchor=None)
    out = logp_head(*given)
    out.kl.sum().backward()  # type: ignore[no-untyped-call]
    assert out.kl.tolist() == [0.0, 0.0, 0.0]
    assert given.hidden.grad is not None
    assert not given.hidden.grad.any()


@pytest.mark.parametrize("tokens", [0, 4])
def test_nothing_to_learn_from(tokens: int) -> None:
    """A pack that is empty, or all ignored, gives zeros that can still be differentiated."""
    given = draw(tokens, 4, 6)._replace(targets=torch.full((tokens,), -100))
    behaviour = torch.zeros(tokens, dtype=torch.float64)
    loss, _, _ = token_loss(*given, behaviour, behaviour + 1, OBJECTIVE, normaliser=1.0)
    out = logp_head(*given)
    (out.logp.sum() + out.kl.sum() + loss).backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert out.lse.tolist() == [0.0] * tokens
    assert given.hidden.grad is not None
    assert given.hidden.grad.shape == (tokens, 4)
    assert not given.hidden.grad.any()


def test_ignored_rows() -> None:
    """A row whose target is negative is zero and pulls nowhere; the others are as if alone."""
    given = draw(6, 4, 9)
    targets = given.targets.clone()
    targets[torch.tensor([0, 3])] = -1
    rest = torch.tensor([1, 2, 4, 5])
    out, whole = logp_head(*given._replace(targets=targets)), plain(given)
    for one, other in zip(out, whole, strict=True):
        assert one[[0, 3]].tolist() == [0.0, 0.0]
        torch.testing.assert_close(one[rest], other[rest], rtol=1e-12, atol=1e-12)
    (grad,) = torch.autograd.grad(out.logp.sum(), given.hidden)
    (wanted,) = torch.autograd.grad(whole.logp[rest].sum(), given.hidden)
    torch.testing.assert_close(grad, wanted, rtol=1e-11, atol=1e-12)


def test_forbidden_tokens() -> None:
    """A logit of -inf is probability 0: no NaN, and no pull; all else is as without the token."""
    given = draw(4, 3, 70)
    behaviour, advantages = off_policy(given)
    kernel = dispatch.head_kernel(given.hidden)
    z = (given.hidden @ given.weight.T).detach()
    y = torch.randn(4, 70, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    gone, left = torch.tensor([0, 33, 69]), torch.tensor([*range(1, 33), *range(34, 69)])
    where = torch.tensor([1, 5, 40, 60])
    places = torch.searchsorted(left, where)
    z[:, gone] = y[:, gone] = float("-inf")
    ones = torch.ones(4, dtype=torch.float64)
    forms = (
        dispatch.SeparateForm(),
        dispatch.WeightedForm(OBJECTIVE, behaviour, advantages),
        dispatch.Coefficients(ones, ones / 2, ones / 3, ones / 4),
    )
    for form in forms:
        made = kernel.rows(z.clone(), y.clone(), where, given.temperature, form, torch.float64)
        alone = kernel.rows(
            z[:, left].clone(), y[:, left].clone(), places, given.temperature, form, torch.float64
        )
        torch.testing.assert_close(made.statistics, alone.statistics, rtol=1e-12, atol=1e-12)
        for one, other in ((made.first_CV, alone.first_CV), (made.second_CV, alone.second_CV)):
            if one is None or other is None:
                continue
            assert not one[:, gone].any()
            torch.testing.assert_close(one[:, left], other, rtol=1e-11, atol=1e-12)


def test_token_that_the_anchor_forbids() -> None:
    """Where the anchor gives a likely token no probability, the KL is not finite: no false calm."""
    kernel = dispatch.head_kernel(torch.zeros(1, 1, dtype=torch.float64))
    z, y = torch.zeros(1, 3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
    y[0, 1] = float("-inf")
    made = kernel.rows(
        z, y, torch.tensor([0]), torch.ones(1, dtype=torch.float64), None, torch.float64
    )
    assert not torch.isfinite(made.statistics[3]).item()


def test_head_is_frozen() -> None:
    """Neither the head nor the anchor gets a gradient, even where they ask for one."""
    given = draw(3, 4, 6)
    anchor, weight = given.anchor, given.weight
    assert anchor is not None
    anchor.requires_grad_()
    weight.requires_grad_()
    out = logp_head(*given)
    (out.logp + out.kl).sum().backward()  # type: ignore[no-untyped-call]
    assert anchor.grad is None
    assert weight.grad is None
