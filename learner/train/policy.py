"""Policy: a frozen base model, a LoRA adapter on its linear layers, and the anchor inside it.

The anchor is the same model with the adapter switched off, so that it costs no second copy. The
first version's adapter is zero (B = 0): it answers exactly as the base does.
Legend: B rows, T packed tokens, M completion tokens, D hidden width, V vocabulary.
"""

import contextlib
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..digests import ADAPTER_FILES
from ..mixture import Mixture
from ..ranks.group import ALONE, Ranks
from ..ranks.shards import gathered, part_of, shard_decoder
from ..settings import LearnerSettings
from .adapter_targets import AdapterTargets


class Policy:
    """The model that is trained; with its adapter off it is the anchor."""

    def __init__(
        self,
        model: Any,
        causal: Any,
        decoder: Any,
        targets: AdapterTargets,
        *,
        base_digest: str,
        settings: LearnerSettings,
    ) -> None:
        self.model, self.causal, self.decoder = model, causal, decoder
        self.targets = targets
        """The layers that learn."""
        self.base_digest = base_digest
        """Digest of the base model's weights."""
        self.settings = settings
        self.head_VD: Tensor = causal.get_output_embeddings().weight
        """LM head, which an adapter leaves frozen."""
        self.anchor_head_VD: Tensor | None = None
        """The anchor's, where it is another one."""
        self.logit_scale = 1.0
        """What the model multiplies hidden states times head with; `proof` finds it."""
        self.packs = "position_ids" in inspect.signature(decoder.forward).parameters
        """Whether several sequences may share a row; `proof` finds it."""
        self.mixture: Mixture | None = None
        """Where an engine's choice of experts is replayed; None where that cannot be."""

    @property
    def base(self) -> str:
        """What the base model is, for people: `smollm2 (llama, float32, 49152 tokens)`."""
        family, dtype = self.causal.config.model_type, self.settings.dtype
        return f"{Path(self.settings.model).name} ({family}, {dtype}, {self.vocabulary} tokens)"

    @property
    def vocabulary(self) -> int:
        """Tokens that the head knows."""
        return len(self.head_VD)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head_VD.device

    @property
    def decoders(self) -> tuple[Any, ...]:
        """The text decoder, and copies of it."""
        return (self.decoder,)

    def trainable(self) -> dict[str, Tensor]:
        """Return the adapter's parameters by name, in a fixed order."""
        named = self.model.named_parameters()
        return {name: parameter for name, parameter in named if parameter.requires_grad}

    def hidden(
        self, ids_BT: Tensor, positions_BT: Tensor, experts_BTLK: Tensor | None = None
    ) -> Tensor:
        """Return the final hidden states [B, T, D] of packed rows, scaled as the logits are.

        Each restart of the positions begins a sequence that sees nothing of the ones before it. A
        model that does not pack counts each row from 0. Tokens go to the experts given (`Mixture.replaying`).
        """
        places = {"position_ids": positions_BT} if self.packs else {}
        replaying = (
            self.mixture.replaying(experts_BTLK) if self.mixture else contextlib.nullcontext()
        )
        with replaying:
            states: Tensor = self.decoder(
                input_ids=ids_BT, use_cache=False, **places
            ).last_hidden_state
        return states if self.logit_scale == 1.0 else states * self.logit_scale

    @contextlib.contextmanager
    def as_anchor(self) -> Iterator[None]:
        """Within, `hidden` is the anchor's and no graph is kept."""
        with torch.no_grad(), self.model.disable_adapter():
            yield

    def shard(self, ranks: Ranks) -> None:
        """Divide the weights among the ranks."""
        shard_decoder(self.causal, self.decoder, ranks, self.device.type)

    def begin(self) -> None:
        """Be ready to learn; the weights are where they stay."""

    def settle(self) -> None:
        """Take up what learned where the model computes with something else; an adapter does not."""

    def adapter(self, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """Return a copy of the adapter's weights as PEFT names them, as `gathered` puts them together."""
        return gathered(get_peft_model_state_dict(self.model), ranks, copy=True)

    def save_adapter(self, folder: Path, tensors: Mapping[str, Tensor] | None = None) -> None:
        """Write the adapter as PEFT and vLLM read it; equal weights give equal bytes.

        `tensors` are those of `adapter`, for who has them already.
        """
        folder.mkdir(parents=True)
        config, weights = (folder / name for name in ADAPTER_FILES)
        config.write_text(json.dumps(self._adapter_config(), indent=2, sort_keys=True) + "\n")
        save_file(dict(tensors or self.adapter()), weights, metadata={"format": "pt"})
        weights.chmod(0o644)  # the engine may run as another user

    def load_adapter(self, folder: Path) -> None:
        """Take up an adapter's weights; the bits are those that were saved.

        Raises ValueError where a tensor is missing, unknown or of another shape.
        """
        path = folder / ADAPTER_FILES[1]
        tensors, ours = load_file(path), get_peft_model_state_dict(self.model)
        if tensors.keys() != ours.keys():
            raise ValueError(f"{path}: {sorted(tensors.keys() ^ ours.keys())[:3]} do not match")
        for name, tensor in tensors.items():
            if tensor.shape != ours[name].shape:
                raise ValueError(f"{path}: {name} is {tuple(tensor.shape)}")
        whole_adapter = {name: part_of(tensor, ours[name]) for name, tensor in tensors.items()}
        set_peft_model_state_dict(self.model, whole_adapter)

    def _adapter_config(self) -> dict[str, Any]:
        # Only what a reader needs, and nothing of this machine: the digest covers these bytes.
        config = self.model.peft_config["default"]
        return {
            "base_model_name_or_path": Path(self.settings.model).name,
            "bias": "none",
            "fan_in_fan_out": self.targets.transposed,
            "inference_mode": True,
            "lora_alpha": self.settings.lora_alpha,
            "lora_dropout": 0.0,
            "modules_to_save": None,
            "peft_type": "LORA",
            "r": config.r,
            "target_modules": list(self.targets.names),
            "task_type": "CAUSAL_LM",
            "use_dora": False,
            "use_rslora": False,
        }
