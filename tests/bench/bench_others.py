"""Bench others: the LM heads of other packages on the same task, each where it is installed.

Each at its best: TF32 is allowed, gradients are exact (CCE also as it comes, leaving small ones
out), chunks are large. None has the exact KL to an anchor. Read from trl 1.16.0, liger-kernel 0.8.5,
cut-cross-entropy 25.1.1 and verl 0.9.1; `make bench-kernels` installs them where they can be had.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch
from bench_heads import OBJECTIVE, Task, loss_of
from torch import Tensor
from torch.nn.functional import pad

# TRL's own: columns of its tiles, by 4,096 rows.
TRL_COLUMNS = 32768
LIGER_TOKENS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """One head of another package."""

    run: Callable[[Task], Tensor]
    """Its loss on a task."""
    needs: tuple[str, ...]
    """Packages to import, its own first."""
    cpu: bool = True
    """Whether it has a way on a CPU, be it a fallback."""


def missing(name: str) -> str:
    """Say why a head takes no part here; empty where it does."""
    other = OTHERS[name]
    absent = [need for need in other.needs if importlib.util.find_spec(need) is None]
    if absent:
        return f"no package {', '.join(absent)}"
    return "" if other.cpu or torch.cuda.is_available() else "needs a GPU"


def trl(task: Task) -> Tensor:
    """TRL's chunked head, with the entropy that its GRPO trainer always asks for."""
    module: Any = importlib.import_module("trl.kernels.chunked_logprob")
    logp, *_ = module.ChunkedLogProbFunction.apply(
        task.hidden, task.weight, None, task.targets, 1.0, TRL_COLUMNS, None, 1.0,
        ("log_probs", "entropy"),
    )  # fmt: skip
    return loss_of(task, logp)


def trl_selective(task: Task) -> Tensor:
    """TRL's `selective_log_softmax` of whole logits."""
    module: Any = importlib.import_module("trl.trainer.utils")
    z_1MV = (task.hidden @ task.weight.T)[None]
    return loss_of(task, module.selective_log_softmax(z_1MV, task.targets[None])[0].float())


def cce(task: Task) -> Tensor:
    """Apple's CCE with no gradient left out; on a CPU its compiled fallback, every logit at once."""
    kind = {"impl": "cce", "filter_eps": None} if task.hidden.is_cuda else {"impl": "torch_compile"}
    return _cce(task, kind)


def cce_filtered(task: Task) -> Tensor:
    """Apple's CCE as it comes: small gradients are left out."""
    return _cce(task, {"impl": "cce"})


def _cce(task: Task, kind: dict[str, Any]) -> Tensor:
    module: Any = importlib.import_module("cut_cross_entropy")
    nll = module.linear_cross_entropy(
        task.hidden, task.weight, task.targets, reduction="none", **kind
    )
    return loss_of(task, -nll.float())


def liger(task: Task) -> Tensor:
    """Liger's scaled cross-entropy: CuTe on Hopper, else its chunks of 512 in PyTorch."""
    module: Any = importlib.import_module("liger_kernel.ops.fused_linear_scaled_cross_entropy")
    out = module.LigerFusedLinearScaledCrossEntropyFunction.apply(
        task.hidden, task.weight, task.targets
    )
    return loss_of(task, -(out[0] if isinstance(out, tuple) else out))


def liger_grpo(task: Task) -> Tensor:
    """Liger's chunked GRPO as CISPO: the same truncated ratio, a token's weight as its IS ratio."""
    module: Any = importlib.import_module("liger_kernel.chunked_loss")
    loss = module.LigerFusedLinearGRPOLoss(
        beta=0.0, use_ref_model=False, loss_type="cispo", epsilon_high=OBJECTIVE.ratio_cap,
        compiled=task.hidden.is_cuda,
    )  # fmt: skip
    tokens = len(task.targets)
    width = min(LIGER_TOKENS, tokens)  # a chunk of its is a sequence
    extra = -tokens % width
    side = torch.where(task.advantages < 0, OBJECTIVE.negative_weight, 1.0)

    def rows(values: Tensor) -> Tensor:
        return pad(values, (0, extra)).view(-1, width)

    out: Any = loss(
        pad(task.hidden, (0, 0, 0, extra)).view(-1, width, task.hidden.shape[1]),
        task.weight, rows(task.targets), rows(torch.ones_like(task.targets)),
        task.hidden.new_ones((tokens + extra) // width, dtype=torch.float32),
        old_per_token_logps=rows(task.behaviour), vllm_is_ratio=rows(side * task.advantages),
    )  # fmt: skip
    total: Tensor = out[0] * tokens  # it divides by its mask's sum
    return total


def verl(task: Task) -> Tensor:
    """verl's Triton head."""
    module: Any = verl_head()
    logp, _ = module.linear_cross_entropy(task.hidden, task.weight, task.targets, 1.0, "none")
    return loss_of(task, logp.float())


def verl_head() -> ModuleType:
    """Import verl's head alone: verl as a whole wants Ray, and an older transformers."""
    if "verl" not in sys.modules:
        spec = importlib.util.find_spec("verl")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        (root,) = spec.submodule_search_locations
        for name in ("verl", "verl.utils"):
            bare = ModuleType(name)
            bare.__spec__ = ModuleSpec(name, None, is_package=True)
            bare.__path__ = [root + name.removeprefix("verl").replace(".", "/")]
            sys.modules[name] = bare
    return importlib.import_module("verl.utils.kernel.linear_cross_entropy")


OTHERS = {
    "trl": Other(run=trl, needs=("trl", "transformers")),
    "trl_selective": Other(run=trl_selective, needs=("trl", "datasets")),
    "cce": Other(run=cce, needs=("cut_cross_entropy",)),
    "cce_filtered": Other(run=cce_filtered, needs=("cut_cross_entropy",), cpu=False),
    "liger": Other(run=liger, needs=("liger_kernel",)),
    "liger_grpo": Other(run=liger_grpo, needs=("liger_kernel",)),
    "verl": Other(run=verl, needs=("verl",), cpu=False),
}
