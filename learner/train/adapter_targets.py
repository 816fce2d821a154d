"""Adapter targets: the layers of a language model that get a LoRA adapter, and what is left out."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

LINEAR = (nn.Linear, Conv1D)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterTargets:
    """Every linear layer of the text decoder, but for gates of a single output."""

    modules: tuple[str, ...]
    """Full names within the causal model."""
    names: tuple[str, ...]
    """The shortest names that mean exactly these: last parts where no other layer has them."""
    left_out: tuple[str, ...]
    """What has weights of the kind and gets no adapter: fused experts, gates, towers."""


def adapter_targets(causal: Any, decoder: nn.Module) -> AdapterTargets:
    """Choose the layers; raises ValueError where there is none.

    Experts that are fused into one parameter are left out: PEFT 0.21 writes adapters on them that it
    reads back otherwise (0.2 to 0.7 nats off, measured). So are vision and audio towers, whose
    inputs the learner never sees.
    """
    inside = {id(module) for module in decoder.modules()}
    head = causal.get_output_embeddings()
    chosen, others, left_out = list[str](), list[str](), set[str]()
    for name, module in causal.named_modules():
        if not isinstance(module, LINEAR) or module is head:
            continue
        if id(module) not in inside:
            others.append(name)
            left_out.add(_tower(name))
        elif isinstance(module, nn.Linear) and module.out_features == 1:
            others.append(name)
            left_out.add(_last(name))
        else:
            chosen.append(name)
    for name, parameter in decoder.named_parameters():
        if parameter.dim() == 3 and "experts" in name:
            left_out.add(".".join(name.rsplit(".", 2)[-2:]))
    if not chosen:
        raise ValueError("no linear layer that an adapter could be put on")
    short = {_last(name) for name in chosen}
    ambiguous = short & {_last(name) for name in others}
    return AdapterTargets(
        modules=tuple(chosen),
        names=tuple(sorted(chosen if ambiguous else short)),
        left_out=tuple(sorted(left_out)),
    )


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _tower(name: str) -> str:
    """Name of the part of a model that a layer outside the text decoder is in."""
    return ".".join(name.split(".")[:2])
