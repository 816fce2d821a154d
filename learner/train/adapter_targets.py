"""Adapter targets: the layers of a language model that get a LoRA adapter, and what is left out."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

LINEAR = (nn.Linear, Conv1D)
EXPERT_NAMES = frozenset(("gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"))
"""Last names that PEFT takes for the fused experts' in a model that has some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterTargets:
    """Every linear layer of the text decoder, but for routers and gates of a single output."""

    modules: tuple[str, ...]
    """Full names within the causal model."""
    names: tuple[str, ...]
    """The shortest names that mean exactly these: last parts where no other layer has them."""
    left_out: tuple[str, ...]
    """What has weights of the kind and gets no adapter: experts, gates, towers."""
    transposed: bool
    """Whether the layers keep their weights transposed, as GPT-2's do."""


def adapter_targets(causal: Any, decoder: nn.Module) -> AdapterTargets:
    """Choose the layers; raises ValueError where there is none.

    Experts that are fused into one parameter are left out: PEFT 0.21 writes adapters on them that it
    reads back otherwise (0.2 to 0.7 nats off, measured). Beside them so are layers with the names
    that experts had before they were fused, such as a shared expert's: asked for one of those, PEFT
    adapts the fused ones. Vision and audio towers are left out, whose inputs the learner never sees.
    """
    fused = {
        ".".join(name.rsplit(".", 2)[-2:])
        for name, parameter in decoder.named_parameters()
        if parameter.dim() == 3 and "experts" in name
    }
    routers = _routers(causal)
    inside = {id(module) for module in decoder.modules()}
    head = causal.get_output_embeddings()
    chosen, others, left_out, kinds = list[str](), list[str](), set(fused), set[type]()
    for name, module in causal.named_modules():
        if not isinstance(module, LINEAR) or module is head:
            continue
        if id(module) not in inside:
            others.append(name)
            left_out.add(_tower(name))
        elif (isinstance(module, nn.Linear) and module.out_features == 1) or id(module) in routers:
            others.append(name)
            left_out.add(_last(name))
        elif fused and _last(name) in EXPERT_NAMES:
            others.append(name)
            left_out.add(".".join(name.rsplit(".", 2)[-2:]))
        else:
            chosen.append(name)
            kinds.add(Conv1D if isinstance(module, Conv1D) else nn.Linear)
    if not chosen:
        raise ValueError("no linear layer that an adapter could be put on")
    short = {_last(name) for name in chosen}
    ambiguous = short & {_last(name) for name in others}
    return AdapterTargets(
        modules=tuple(chosen),
        names=tuple(sorted(chosen if ambiguous else short)),
        left_out=tuple(sorted(left_out)),
        transposed=Conv1D in kinds,
    )


def _routers(causal: Any) -> set[int]:
    """Return the ids of linear layers that give no activation, found by one forward.

    Routers of experts are such layers in some families: PEFT adds to what a layer returns, and they
    return a choice.
    """
    found = set[int]()

    def look(module: nn.Module, _given: Any, returned: Any) -> None:
        if not isinstance(returned, Tensor):
            found.add(id(module))

    hooks = [m.register_forward_hook(look) for m in causal.modules() if isinstance(m, LINEAR)]
    try:
        with torch.no_grad():
            causal(input_ids=torch.tensor([[1, 2, 3]], device=causal.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _tower(name: str) -> str:
    """Name of the part of a model that a layer outside the text decoder is in."""
    return ".".join(name.split(".")[:2])
