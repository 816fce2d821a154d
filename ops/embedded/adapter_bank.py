"""AdapterBank: LoRA adapters over one base model, so that rows with different ones share a batch.

The adapters of a batch are stacked: with S of them of rank r, one matrix product makes all S*r
low-rank activations of every row, those of other adapters are set to zero, and a second product
adds the rest. Two dense products in place of a gather a row, whatever the mix.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

UNSUPPORTED = ("use_dora", "modules_to_save", "layer_replication", "target_parameters")
KEPT_STACKS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adapter:
    """One set of low-rank weights, in memory and never read again."""

    name: str
    """What requests call it."""
    path: str
    """Where it was read."""
    rank: int
    """Largest rank of any module."""
    weights: dict[str, tuple[Tensor, Tensor]]
    """Module to A [rank, in] and B [out, rank], B scaled; padded with zeros to `rank`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stack:
    """Several adapters one under the other."""

    weights: dict[str, tuple[Tensor, Tensor]]
    """Module to A transposed [in, ranks] and B transposed [ranks, out]."""
    slots: dict[Adapter | None, Tensor]
    """Adapter to which of the ranks are its own [ranks], bool."""


def read_adapter(name: str, path: Path, device: torch.device) -> Adapter:
    """Return an adapter in PEFT's format.

    Raises ValueError naming the file or tensor where it is not one or not finite.
    """
    config = json.loads((path / "adapter_config.json").read_text())
    asked = [key for key in UNSUPPORTED if config.get(key)]
    if config.get("peft_type") != "LORA" or asked or config.get("bias", "none") != "none":
        raise ValueError(f"adapter {name!r} is not a plain LoRA adapter: {asked or 'peft_type'}")
    try:
        tensors = load_file(path / "adapter_model.safetensors", device=str(device))
    except SafetensorError as error:
        raise ValueError(f"adapter {name!r}: adapter_model.safetensors: {error}") from error
    for key, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"adapter {name!r}: tensor {key} is not finite")
    pairs = _pairs(name, tensors)
    rank = max(A_RD.shape[0] for A_RD, _ in pairs.values())
    return Adapter(
        name=name,
        path=str(path),
        rank=rank,
        weights={
            module: _padded(A_RD.float(), B_DR.float() * _scale(config, module, len(A_RD)), rank)
            for module, (A_RD, B_DR) in pairs.items()
        },
    )


def _pairs(name: str, tensors: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return module to its A and B; refuse anything that is neither."""
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        module, dot, half = key.removeprefix("base_model.model.").rpartition(".lora_")
        if not dot or half not in ("A.weight", "B.weight"):
            raise ValueError(f"adapter {name!r}: tensor {key} is not a lora_A or lora_B weight")
        halves.setdefault(module, {})[half[0]] = tensor
    for module, found in halves.items():
        if len(found) != 2 or found["A"].shape[0] != found["B"].shape[1]:
            raise ValueError(f"adapter {name!r}: module {module} has no matching A and B")
    if not halves:
        raise ValueError(f"adapter {name!r} has no weights")
    return {module: (found["A"], found["B"]) for module, found in halves.items()}


def _scale(config: dict[str, Any], module: str, rank: int) -> float:
    patterns = config.get("alpha_pattern") or {}
    own = [value for key, value in patterns.items() if module == key or module.endswith(f".{key}")]
    alpha = float(own[0] if own else config["lora_alpha"])
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _padded(A_RD: Tensor, B_DR: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    missing = rank - len(A_RD)
    return (
        nn.functional.pad(A_RD, (0, 0, 0, missing)),
        nn.functional.pad(B_DR, (0, missing)),
    )


class AdapterBank:
    """The adapters that requests may name; belongs to the thread that runs the model."""

    def __init__(self, model: Any) -> None:
        self.modules: dict[str, nn.Module] = dict(model.named_modules())
        self.device: torch.device = model.device
        self.adapters: dict[str, Adapter] = {}
        self._hooked: set[str] = set()
        self._stacks: dict[frozenset[Adapter | None], _Stack] = {}
        self._active: _Stack | None = None
        self._own_B1R: Tensor | None = None

    def load(self, name: str, path: Path) -> Adapter:
        """Read an adapter and add it; ValueError where its modules or shapes do not fit."""
        adapter = read_adapter(name, path, self.device)
        for module, (A_RD, B_DR) in adapter.weights.items():
            target = self.modules.get(module)
            shape = None if target is None else tuple(getattr(target, "weight", A_RD).shape)
            wanted = (B_DR.shape[0], A_RD.shape[1])
            # GPT-2's Conv1D keeps its weight the other way round.
            if shape not in (wanted, wanted[::-1]) or isinstance(target, nn.Embedding):
                raise ValueError(f"adapter {name!r}: {module} is {wanted}, the model's is {shape}")
        for module in adapter.weights.keys() - self._hooked:
            self.modules[module].register_forward_hook(partial(self._add, module))
            self._hooked.add(module)
        self.adapters[name] = adapter
        return adapter

    def unload(self, name: str) -> None:
        """Forget a name; rows under way keep their weights."""
        adapter = self.adapters.pop(name)
        self._stacks = {key: one for key, one in self._stacks.items() if adapter not in key}

    def use(self, rows: Sequence[Adapter | None]) -> None:
        """Make the next forward pass apply these, one a row of the batch."""
        members = frozenset(rows)
        self._active = None if members == {None} else self._stack(members)
        if self._active is None or len(members) == 1:
            self._own_B1R = None
        else:
            slots = self._active.slots
            self._own_B1R = torch.stack([slots[adapter] for adapter in rows])[:, None]

    def _stack(self, members: frozenset[Adapter | None]) -> _Stack:
        if members not in self._stacks:
            while len(self._stacks) >= KEPT_STACKS:
                del self._stacks[next(iter(self._stacks))]
            self._stacks[members] = self._stacked([one for one in members if one is not None])
        return self._stacks[members]

    def _stacked(self, adapters: Sequence[Adapter]) -> _Stack:
        owner_R = torch.tensor([i for i, one in enumerate(adapters) for _ in range(one.rank)])
        slots: dict[Adapter | None, Tensor] = {
            adapter: (owner_R == index).to(self.device) for index, adapter in enumerate(adapters)
        }
        slots[None] = torch.zeros(len(owner_R), dtype=torch.bool, device=self.device)
        weights: dict[str, tuple[Tensor, Tensor]] = {}
        for module in sorted({module for one in adapters for module in one.weights}):
            shapes = next(one.weights[module] for one in adapters if module in one.weights)
            pairs = [one.weights.get(module) or _zeros(one.rank, *shapes) for one in adapters]
            weights[module] = (
                torch.cat([A_RD for A_RD, _ in pairs]).T.contiguous(),
                torch.cat([B_DR for _, B_DR in pairs], dim=1).T.contiguous(),
            )
        return _Stack(weights=weights, slots=slots)

    def _add(self, name: str, module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        """Add what the rows' adapters say to what the module says (a forward hook)."""
        pair = None if self._active is None else self._active.weights.get(name)
        if pair is None:
            return out
        low_BTR = given[0].float() @ pair[0]
        if self._own_B1R is not None:
            # `where`, not a product: an overflow in another adapter's columns must not spread.
            low_BTR = torch.where(self._own_B1R, low_BTR, 0.0)
        return out + (low_BTR @ pair[1]).to(out.dtype)


def _zeros(rank: int, A_RD: Tensor, B_DR: Tensor) -> tuple[Tensor, Tensor]:
    return A_RD.new_zeros(rank, A_RD.shape[1]), B_DR.new_zeros(B_DR.shape[0], rank)
