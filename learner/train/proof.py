"""Proof: at load a model shows that the learner's numbers of it are the model's own.

The learner packs answers into rows, takes the head apart from the trunk, and writes adapters that
others read. Each is right for most families of models and silently wrong for some: logits that are
scaled after the head, positions that do not separate the answers of a row, adapters that are read
back otherwise. So each is tried on two short sequences, with an adapter, where there is one, that does something.
Legend: T tokens, V vocabulary.
"""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..sealed import SealedEpisode
from .packing import pack
from .policy import Policy

LENGTHS = (24, 17)
STIRRED = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)
VISIBLE = 0.1
"""Change of a log-probability, nats, that an adapter on trial has to make at the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far two ways to the same log-probability may lie apart, nats."""

    way: float
    """Alone, packed, through the head: sums in another order."""
    same: float
    """The same shapes, with other neighbours in the row or an adapter read again: next to nothing."""


TOLERANCES = {
    torch.float32: Tolerance(way=5e-3, same=1e-4),
    torch.bfloat16: Tolerance(way=1.0, same=2e-2),
}
"""By the base's dtype. The faults that were seen are 0.05 to 9 nats in float32; a random Llama of 30
layers is packed to 3e-5 in float32 and to 0.3 in bfloat16, the largest of 4,096 tokens."""


def prove(policy: Policy) -> None:
    """Hold the policy's ways against the model's own forward, and set what they need.

    Sets `policy.logit_scale` where logits are scaled, and `policy.packs` to False where rows leak.
    Raises ValueError, naming what differs and by how much, where nothing helps; the weights are as
    before in any case.
    """
    tolerance = TOLERANCES[policy.head_VD.dtype]
    sequences = [_walk(policy, length, start) for start, length in enumerate(LENGTHS)]
    adapted = bool(policy.targets.modules)
    stirred = _stirred(policy, sequences[0]) if adapted else nullcontext()
    with torch.no_grad(), stirred:
        own = [_own_logits(policy, ids) for ids in sequences]
        policy.logit_scale = _logit_scale(policy, sequences[0], own[0], tolerance)
        wanted = [logits.log_softmax(-1) for logits in own]
        if (
            _packed_error(policy, sequences, wanted) > tolerance.way
            or _leak(policy) > tolerance.same
        ):
            policy.packs = False
            off = _packed_error(policy, sequences, wanted)
            if off > tolerance.way:
                raise ValueError(
                    f"in rows of one sequence its log-probabilities are off by {off:.2f}"
                )
        if adapted:
            _prove_adapter(policy, sequences[0], wanted[0], tolerance)


def _walk(policy: Policy, length: int, start: int) -> list[int]:
    return [(11 * i + 5 * start + 3) % policy.vocabulary for i in range(length)]


def _own_logits(policy: Policy, ids: list[int]) -> Tensor:
    """Return the model's own logits [T, V], in float32."""
    asked = torch.tensor([ids], device=policy.device)
    logits: Tensor = policy.causal(input_ids=asked, use_cache=False).logits[0]
    return logits.float()


def _logit_scale(policy: Policy, ids: list[int], own: Tensor, tolerance: Tolerance) -> float:
    """Return c with the model's logits = c hidden @ head; 1.0 where that holds within rounding."""
    policy.logit_scale = 1.0
    asked = torch.tensor([ids], device=policy.device)
    places = torch.arange(len(ids), device=policy.device)[None]
    ours = (policy.hidden(asked, places)[0] @ policy.head_VD.T).float()
    if _apart(ours.log_softmax(-1), own.log_softmax(-1)) <= tolerance.way:
        return 1.0
    scale = float((own * ours).sum() / (ours * ours).sum())
    off = _apart((scale * ours).log_softmax(-1), own.log_softmax(-1))
    if not (off <= tolerance.way and scale > 0.0):
        raise ValueError(f"its logits are not hidden states times head: off by {off:.2f}")
    return float(f"{scale:.6g}")


def _packed_error(policy: Policy, sequences: list[list[int]], wanted: list[Tensor]) -> float:
    """Largest difference of a log-probability in the learner's rows from the model's own."""
    packed = pack(
        [_episode(ids) for ids in sequences],
        tokens=sum(LENGTHS),
        device=policy.device,
        together=policy.packs,
    )
    states = policy.hidden(packed.ids_BT, packed.positions_BT)[packed.rows_M, packed.columns_M]
    logp_MV = (states @ policy.head_VD.T).float().log_softmax(-1)
    return _apart(logp_MV, torch.cat([logp[:-1] for logp in wanted]))


def _leak(policy: Policy) -> float:
    """Largest change in the second sequence of a row when the first one changes."""
    second = _walk(policy, LENGTHS[1], 1)
    found = []
    for start in (0, 2):
        pair = [_episode(ids) for ids in (_walk(policy, LENGTHS[0], start), second)]
        packed = pack(pair, tokens=sum(LENGTHS), device=policy.device, together=True)
        states = policy.hidden(packed.ids_BT, packed.positions_BT)[packed.rows_M, packed.columns_M]
        logp_MV = (states @ policy.head_VD.T).float().log_softmax(-1)
        found.append(logp_MV[packed.segments_M == 1])
    return _apart(*found)


def _prove_adapter(policy: Policy, ids: list[int], wanted: Tensor, tolerance: Tolerance) -> None:
    """Write the adapter, let PEFT read it under another name, and compare."""
    with tempfile.TemporaryDirectory() as scratch, torch.random.fork_rng(devices=[]):
        folder = Path(scratch) / "adapter"
        policy.save_adapter(folder)
        try:
            policy.model.load_adapter(folder, adapter_name="proof")
            policy.model.set_adapter("proof")
            off = _apart(_own_logits(policy, ids).log_softmax(-1), wanted)
        finally:
            policy.model.set_adapter("default")
            policy.model.delete_adapter("proof")
    if off > tolerance.same:
        raise ValueError(f"PEFT reads its adapter back otherwise: off by {off:.2f}")


@contextmanager
def _stirred(policy: Policy, ids: list[int]) -> Iterator[None]:
    """Within, the adapter has random weights, large enough to be seen."""
    parameters = policy.trainable()
    kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    before, draw = _own_logits(policy, ids).log_softmax(-1), torch.Generator().manual_seed(0)
    try:
        for size in STIRRED:
            for name, parameter in parameters.items():
                if "lora_B" in name:
                    noise = torch.randn(parameter.shape, generator=draw)
                    parameter.copy_(size * noise.to(parameter.device))
            if _apart(_own_logits(policy, ids).log_softmax(-1), before) > VISIBLE:
                break
        else:
            raise ValueError("an adapter on its linear layers changes nothing")
        yield
    finally:
        for name, parameter in parameters.items():
            parameter.copy_(kept[name])


def _apart(left: Tensor, right: Tensor) -> float:
    off = float((left - right).abs().max())
    return float("inf") if math.isnan(off) else off


def _episode(ids: list[int]) -> SealedEpisode:
    return SealedEpisode(
        generation_id="proof",
        segment="",
        version="",
        age=0,
        prompt_token_ids=tuple(ids[:1]),
        completion_token_ids=tuple(ids[1:]),
        logprobs=(0.0,) * (len(ids) - 1),
        temperature=1.0,
        reward=0.0,
        reward_revision=0,
    )
