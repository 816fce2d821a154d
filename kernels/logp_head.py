"""logp_head: one Triton launch for a chunk of the head's logits, between two cuBLAS GEMMs.

One program per row. The first pass streams the row and keeps, lane by lane, the maximum m, the sum
s of exp(z - m), that of exp(z - m) (z - m) and, with an anchor, that of exp(z - m) (z - y) and the
anchor's own m and s; lanes meet once, at the end. The second pass reads the row again and writes
the gradients, formed in float32 and rounded once. No atomics: the same bits every time.
Equal to `reference.Reference.rows`. Legend: V vocabulary, C rows of a chunk.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

from .objective import LOG_RATIO_LIMIT, TokenObjective
from .ratio import token_weight
from .sweep import STATISTICS, ChunkRows, Coefficients, Form, Scratch, SeparateForm, WeightedForm

# Compiled for sm_90 with an anchor: 80 registers, so three programs to a multiprocessor. 4,096 columns
# on 16 warps take 82, and one fits; 8,192 spill (tests/kernels/test_compiled.py holds this).
BLOCK = 2048
WARPS = 8
# What a chunk's matrices may take, in bytes: 1,024 rows of 151,936 columns without an anchor.
CHUNK_BYTES = 2**30
MOST_TOKENS = 2048

NOTHING = tl.constexpr(0)
APART = tl.constexpr(1)
WEIGHED = tl.constexpr(2)
GIVEN = tl.constexpr(3)


@triton.jit
def _absorb(x, m, s, a):
    """Take a block into the lanes' maximum, sum and weighted sum; returns its exp(x - m) too."""
    top = tl.maximum(m, x)
    # A lane that saw only -inf has none to subtract.
    safe = tl.where(top == float("-inf"), 0.0, top)
    fell = tl.where(m == float("-inf"), 0.0, m - safe)
    scale = tl.where(m == float("-inf"), 0.0, tl.exp(fell))
    e = tl.exp(x - safe)
    away = tl.where(x == float("-inf"), 0.0, x - safe)
    return top, s * scale + e, (a + s * fell) * scale + e * away, e, scale


@triton.jit
def _joined(m, s, a):
    """Bring the lanes together: maximum, sum, weighted sum and the lanes' factors."""
    top = tl.max(m, 0)
    fell = tl.where(m == float("-inf"), 0.0, m - top)
    scale = tl.where(m == float("-inf"), 0.0, tl.exp(fell))
    return top, tl.sum(s * scale, 0), tl.sum((a + s * fell) * scale, 0), scale


@triton.jit
def _pass_one(
    z_ptr, y_ptr, columns, mask, heat, m, s, a, n, t, b, apart,
    ANCHORED: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """One block of the first pass; only the last, ragged one is masked, so that the rest vectorise."""
    if MASKED:
        z = tl.load(z_ptr + columns, mask=mask, other=float("-inf")) * heat
    else:
        z = tl.load(z_ptr + columns) * heat
    m, s, a, e, scale = _absorb(z, m, s, a)
    if ANCHORED:
        if MASKED:
            y = tl.load(y_ptr + columns, mask=mask, other=float("-inf")) * heat
        else:
            y = tl.load(y_ptr + columns) * heat
        n, t, b, _, _ = _absorb(y, n, t, b)
        apart = apart * scale + tl.where(e == 0.0, 0.0, e * (z - y))
    return m, s, a, n, t, b, apart


@triton.jit
def _pass_two(
    z_ptr, y_ptr, first_ptr, second_ptr, columns, mask, target, heat,
    m, log_s, n, log_t, kl, pull, per_p, per_logp, per_apart,
    FORM: tl.constexpr, ANCHORED: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """One block of the second pass."""
    if MASKED:
        z = tl.load(z_ptr + columns, mask=mask, other=float("-inf")) * heat
    else:
        z = tl.load(z_ptr + columns) * heat
    logp = (z - m) - log_s
    p = tl.exp(logp)
    slope = per_p
    if FORM == GIVEN:
        slope += per_logp * tl.where(p == 0.0, 0.0, logp)
    if ANCHORED:
        if MASKED:
            y = tl.load(y_ptr + columns, mask=mask, other=0.0) * heat
        else:
            y = tl.load(y_ptr + columns) * heat
        away = tl.where(p == 0.0, 0.0, logp - ((y - n) - log_t)) - kl
        if FORM == APART:
            second = (p * away * heat).to(second_ptr.dtype.element_ty)
            if MASKED:
                tl.store(second_ptr + columns, second, mask=mask)
            else:
                tl.store(second_ptr + columns, second)
        else:
            slope += per_apart * away
    grad = (p * slope + tl.where(columns == target, pull, 0.0)) * heat
    grad = grad.to(first_ptr.dtype.element_ty)
    if MASKED:
        tl.store(first_ptr + columns, grad, mask=mask)
    else:
        tl.store(first_ptr + columns, grad)


@triton.jit
def head_rows(
    z_ptr, y_ptr, first_ptr, second_ptr, made_ptr,
    targets_ptr, temperature_ptr, behaviour_ptr, advantages_ptr,
    grad_logp_ptr, grad_lse_ptr, grad_entropy_ptr, grad_kl_ptr,
    rows, vocabulary, z_stride, grad_stride,
    FORM: tl.constexpr, ANCHORED: tl.constexpr,
    CAP: tl.constexpr, BELOW: tl.constexpr, ABOVE: tl.constexpr, LOW: tl.constexpr,
    HIGH: tl.constexpr, MOVED: tl.constexpr, NEGATIVE: tl.constexpr, KL: tl.constexpr,
    LIMIT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Statistics and gradients of one row of logits a program."""
    row = tl.program_id(0).to(tl.int64)  # row * V passes 2**31
    z_ptr += row * z_stride
    y_ptr += row * z_stride
    first_ptr += row * grad_stride
    second_ptr += row * grad_stride
    dtype = z_ptr.dtype.element_ty
    target = tl.load(targets_ptr + row)
    heat = 1.0 / tl.load(temperature_ptr + row)
    lanes = tl.arange(0, BLOCK)
    whole = vocabulary // BLOCK * BLOCK

    m = tl.full((BLOCK,), float("-inf"), dtype)
    s = tl.zeros((BLOCK,), dtype)
    a = tl.zeros((BLOCK,), dtype)
    n = m
    t = s
    b = s
    apart = s
    for start in range(0, whole, BLOCK):
        m, s, a, n, t, b, apart = _pass_one(
            z_ptr, y_ptr, start + lanes, lanes < BLOCK, heat, m, s, a, n, t, b, apart,
            ANCHORED, False,
        )  # fmt: skip
    if whole < vocabulary:
        columns = whole + lanes
        m, s, a, n, t, b, apart = _pass_one(
            z_ptr, y_ptr, columns, columns < vocabulary, heat, m, s, a, n, t, b, apart,
            ANCHORED, True,
        )  # fmt: skip
    m, s, a, scale = _joined(m, s, a)
    log_s = tl.log(s)
    entropy = log_s - a / s
    logp = (tl.load(z_ptr + target) * heat - m) - log_s
    kl = entropy * 0.0
    n_top = kl
    log_t = kl
    if ANCHORED:
        apart = tl.sum(tl.where(scale == 0.0, 0.0, apart * scale), 0) / s
        n_top, t_sum, _, _ = _joined(n, t, b)
        log_t = tl.log(t_sum)
        # Sums of exponentials lie near each other: subtracting their logarithms last keeps digits.
        kl = apart - ((m - n_top) + (log_s - log_t))
        tl.store(made_ptr + 4 * rows + row, n_top + log_t)
    tl.store(made_ptr + row, logp)
    tl.store(made_ptr + rows + row, m + log_s)
    tl.store(made_ptr + 2 * rows + row, entropy)
    tl.store(made_ptr + 3 * rows + row, kl)

    if FORM != NOTHING:
        pull = logp * 0.0 + 1.0
        per_p = -pull
        per_logp = pull * 0.0
        per_apart = per_logp
        if FORM == WEIGHED:
            advantage = tl.load(advantages_ptr + row).to(dtype)
            behaviour = tl.load(behaviour_ptr + row).to(dtype)
            weight = token_weight(
                logp, behaviour, advantage, LIMIT, CAP, BELOW, ABOVE, LOW, HIGH, MOVED, NEGATIVE
            )
            tl.store(made_ptr + 5 * rows + row, weight)
            pull = -weight
            per_p = weight
            per_apart += KL
        if FORM == GIVEN:
            pull = tl.load(grad_logp_ptr + row).to(dtype)
            per_logp = -tl.load(grad_entropy_ptr + row).to(dtype)
            per_p = tl.load(grad_lse_ptr + row).to(dtype) - pull + per_logp * entropy
            per_apart = tl.load(grad_kl_ptr + row).to(dtype)
        for start in range(0, whole, BLOCK):
            _pass_two(
                z_ptr, y_ptr, first_ptr, second_ptr, start + lanes, lanes < BLOCK, target, heat,
                m, log_s, n_top, log_t, kl, pull, per_p, per_logp, per_apart,
                FORM, ANCHORED, False,
            )  # fmt: skip
        if whole < vocabulary:
            columns = whole + lanes
            _pass_two(
                z_ptr, y_ptr, first_ptr, second_ptr, columns, columns < vocabulary, target, heat,
                m, log_s, n_top, log_t, kl, pull, per_p, per_logp, per_apart,
                FORM, ANCHORED, True,
            )  # fmt: skip


class TritonHead:
    """`HeadKernel` on CUDA, or on a CPU under Triton's interpreter."""

    def weight(self, weight_VD: Tensor) -> Tensor:
        """Return the head as it is: the GEMMs take its dtype."""
        return weight_VD

    def chunk_tokens(self, vocabulary: int, *, anchored: bool) -> int:
        """Return the rows to a chunk, for bounded memory: 6 bytes a logit, 12 with an anchor."""
        fits = CHUNK_BYTES // (vocabulary * (12 if anchored else 6))
        return max(64, min(MOST_TOKENS, 1 << (max(fits, 1).bit_length() - 1)))

    def product(
        self, left: Tensor, right: Tensor, scratch: Scratch | None = None, name: str = ""
    ) -> Tensor:
        """Return left @ right.T in float32 (float64 for float64), in rows of 16-aligned stride.

        torch's allocator of the device's memory keeps what is given back: the scratch is not needed.
        """
        compute = torch.promote_types(left.dtype, torch.float32)
        stride = -(-len(right) // 16) * 16
        out = torch.empty(len(left), stride, dtype=compute, device=left.device)[:, : len(right)]
        if left.dtype == compute:
            return torch.mm(left, right.T, out=out)
        return torch.mm(left, right.T, out_dtype=compute, out=out)

    def rows(
        self,
        z_CV: Tensor,
        anchor_z_CV: Tensor | None,
        targets_C: Tensor,
        temperature_C: Tensor,
        form: Form,
        dtype: torch.dtype,
        scratch: Scratch | None = None,
    ) -> ChunkRows:
        """Statistics and gradients (in `dtype`) of a chunk; may overwrite the logits."""
        count, vocabulary = z_CV.shape
        made = z_CV.new_zeros(len(STATISTICS), count)
        y_CV = z_CV if anchor_z_CV is None else anchor_z_CV
        first_CV = z_CV if form is None else _gradient(z_CV, dtype)
        second_CV = _gradient(y_CV, dtype) if isinstance(form, SeparateForm) else first_CV
        weighed = form if isinstance(form, WeightedForm) else None
        objective = TokenObjective() if weighed is None else weighed.objective
        given = form if isinstance(form, Coefficients) else (made[0],) * 4
        head_rows[(count,)](
            z_CV, y_CV, first_CV, second_CV, made, targets_C, temperature_C,
            made if weighed is None else weighed.behaviour.contiguous(),
            made if weighed is None else weighed.advantages.contiguous(),
            *(each.contiguous() for each in given),
            count, vocabulary, z_CV.stride(0), first_CV.stride(0),
            FORM=_code(form),
            ANCHORED=anchor_z_CV is not None,
            **objective.constants(),
            KL=objective.kl_weight,
            LIMIT=LOG_RATIO_LIMIT,
            BLOCK=min(BLOCK, triton.next_power_of_2(vocabulary)),
            num_warps=WARPS if vocabulary > 1024 else 4,
        )  # fmt: skip
        if form is None:
            return ChunkRows(made, None, None)
        apart = isinstance(form, SeparateForm) and anchor_z_CV is not None
        return ChunkRows(made, first_CV, second_CV if apart else None)


def _code(form: Form) -> int:
    match form:
        case None:
            return 0
        case SeparateForm():
            return 1
        case WeightedForm():
            return 2
    return 3


def _gradient(logits_CV: Tensor, dtype: torch.dtype) -> Tensor:
    """Return memory for a gradient; the logits' own where dtypes agree: a block is read before it is written."""
    if logits_CV.dtype == dtype:
        return logits_CV
    memory = torch.empty(len(logits_CV), logits_CV.stride(0), dtype=dtype, device=logits_CV.device)
    return memory[:, : logits_CV.shape[1]]
