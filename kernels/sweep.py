"""Sweep: the LM head over a pack, chunk by chunk, with its gradients formed on the way.

The gradient of a chosen log-probability to the hidden state, u = (W[a] - sum_j p_j W_j) / T, does
not depend on the loss, and neither does that of the KL to an anchor. So with a frozen head both are
formed while the chunk's logits are still there, and backward only scales rows. In units of one pass
of the head's GEMM, U: the outputs alone take 1 U (2 with an anchor), `chosen` 2 (4), `summed` with
its one gradient matrix 2 (3). Recomputing in backward would take 3 (5).
Legend: M tokens, D hidden width, V vocabulary, C rows of a chunk.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .objective import TokenObjective

STATISTICS = ("logp", "lse", "entropy", "kl", "anchor_lse", "weight")


class Coefficients(NamedTuple):
    """Derivative of the loss to each of a chunk's outputs, [C] each."""

    logp: Tensor
    lse: Tensor
    entropy: Tensor
    kl: Tensor


class WeightedForm(NamedTuple):
    """A token-level objective, from which a row's coefficients follow once its logp is known."""

    objective: TokenObjective
    behaviour: Tensor
    advantages: Tensor


class SeparateForm(NamedTuple):
    """Ask for the gradients of logp and of the KL, each in a matrix of its own."""


Form = Coefficients | WeightedForm | SeparateForm | None
"""Which gradients to the logits a chunk leaves behind; None: none."""


class ChunkRows(NamedTuple):
    """What a kernel makes of a chunk's logits."""

    statistics: Tensor
    """[6, C] the rows of `STATISTICS`, in the logits' dtype; zero where they do not apply."""
    first_CV: Tensor | None
    """Gradient to the hidden state's logits: of logp (Apart), else of the whole loss."""
    second_CV: Tensor | None
    """Apart, with an anchor: of the KL."""


class Scratch:
    """A sweep's matrices of a chunk, used again by the next one.

    Asked for anew, each would be taken from the system and given back for every chunk: on a CPU that
    was 0.73 of 2.2 seconds of processor time for 2,048 tokens of D 256, V 32,768.
    """

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def matrix(self, name: str, rows: int, columns: int, like: Tensor) -> Tensor:
        """Return the matrix of this name, of `like`'s dtype and device; what it holds is of before."""
        held = self._held.get(name)
        if held is None or len(held) < rows:
            held = self._held[name] = like.new_empty(rows, columns)
        return held[:rows]


class HeadKernel(Protocol):
    """One implementation of the chunk: plain PyTorch or Triton."""

    def weight(self, weight_VD: Tensor) -> Tensor:
        """Return the head in the dtype that its GEMMs take."""

    def chunk_tokens(self, vocabulary: int, *, anchored: bool) -> int:
        """Return the rows to a chunk, for bounded memory."""

    def product(
        self, left: Tensor, right: Tensor, scratch: Scratch | None = None, name: str = ""
    ) -> Tensor:
        """Return left @ right.T in float32, or float64 for float64; rows are 16-aligned.

        It may stand in the scratch's matrix of that name.
        """

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


@dataclass(slots=True, kw_only=True, eq=False)
class Swept:
    """What a sweep leaves."""

    statistics: Tensor
    """[6, M]."""
    first_MD: Tensor | None
    """Gradient to the hidden states, as `ChunkRows.first_CV`."""
    second_MD: Tensor | None
    """As `ChunkRows.second_CV`."""
    weight_VD: Tensor | None
    """Gradient to the head, in the logits' dtype, where it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """A sweep's inputs."""

    kernel: HeadKernel
    hidden_MD: Tensor
    anchor_MD: Tensor | None
    weight_VD: Tensor
    targets_M: Tensor
    temperature_M: Tensor
    chunk_tokens: int | None = None
    """Rows to a chunk; None leaves it to the kernel."""
    anchor_weight_VD: Tensor | None = None
    """The anchor's head, where it is another one."""

    def swept(
        self, form: Form, *, train_head: bool = False, row_weights_M: Tensor | None = None
    ) -> Swept:
        """Go over the chunks; no matrix of M rows and V columns is ever whole.

        `row_weights_M` multiply each row's gradient before either product with it.
        """
        hidden_MD, anchor_MD, kernel = self.hidden_MD, self.anchor_MD, self.kernel
        weight_VD = kernel.weight(self.weight_VD)
        theirs = self.anchor_weight_VD
        heads = (weight_VD, weight_VD if theirs is None else kernel.weight(theirs))
        compute = torch.promote_types(hidden_MD.dtype, torch.float32)
        grads = (form is not None, isinstance(form, SeparateForm) and anchor_MD is not None)
        first_MD, second_MD = (torch.zeros_like(hidden_MD) if wanted else None for wanted in grads)
        out = Swept(
            statistics=hidden_MD.new_zeros(len(STATISTICS), len(hidden_MD), dtype=compute),
            first_MD=first_MD,
            second_MD=second_MD,
            weight_VD=torch.zeros_like(weight_VD, dtype=compute) if train_head else None,
        )
        size = self.chunk_tokens or kernel.chunk_tokens(
            len(weight_VD), anchored=anchor_MD is not None
        )
        scratch = Scratch()
        for start in range(0, len(hidden_MD), size):
            rows = slice(start, start + size)
            by_C = None if row_weights_M is None else row_weights_M[rows]
            self._chunk(rows, heads, form, out, scratch, by_C)
        return out

    def _chunk(
        self,
        rows: slice,
        heads: tuple[Tensor, Tensor],
        form: Form,
        out: Swept,
        scratch: Scratch,
        by_C: Tensor | None,
    ) -> None:
        kernel, anchor_MD, (weight_VD, anchor_weight_VD) = self.kernel, self.anchor_MD, heads
        made = kernel.rows(
            kernel.product(self.hidden_MD[rows], weight_VD, scratch, "z"),
            None
            if anchor_MD is None
            else kernel.product(anchor_MD[rows], anchor_weight_VD, scratch, "anchor z"),
            self.targets_M[rows],
            self.temperature_M[rows].to(out.statistics.dtype),
            _cut(form, rows),
            weight_VD.dtype,
            scratch,
        )
        out.statistics[:, rows] = made.statistics
        if made.first_CV is not None and out.first_MD is not None:
            if by_C is not None:
                made.first_CV.mul_(by_C[:, None].to(made.first_CV.dtype))
            out.first_MD[rows] = made.first_CV @ weight_VD
            if out.weight_VD is not None:
                out.weight_VD += kernel.product(made.first_CV.T, self.hidden_MD[rows].T)
        if made.second_CV is not None and out.second_MD is not None:
            out.second_MD[rows] = made.second_CV @ weight_VD


def _cut(form: Form, rows: slice) -> Form:
    match form:
        case Coefficients():
            return Coefficients(*(values[rows] for values in form))
        case WeightedForm():
            return WeightedForm(form.objective, form.behaviour[rows], form.advantages[rows])
    return form
