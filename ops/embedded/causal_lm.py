"""CausalModel: a Hugging Face causal LM run over batches whose rows have adapters of their own.

The forward pass is the model's own; here are only its cache, its mask and its positions.
"""

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache
from transformers.utils.logging import disable_progress_bar

from .adapter_bank import AdapterBank
from .kv_batch import Batch, Row
from .request import PromptLogprob

KNOWN_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
"""Layers that keep keys and values and nothing else."""


class CausalModel:
    """Reads prompts, and goes on by a token a row. One thread may use it."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.model: Any = _load_model(folder, device)
        self.bank = AdapterBank(self.model)
        config = self.model.config
        self.max_length = int(getattr(config, "max_position_embeddings", 0) or 1 << 20)
        self.vocabulary = int(config.vocab_size)
        self._keeps_logits = "logits_to_keep" in inspect.signature(self.model.forward).parameters

    def load(self, name: str, path: Path) -> None:
        """Add an adapter; ValueError where it is bad or what it says is not finite."""
        self.bank.use([self.bank.load(name, path)])
        ids = torch.zeros(1, 1, dtype=torch.long, device=self.model.device)
        try:
            finite = bool(self.model(input_ids=ids).logits.isfinite().all())
        except RuntimeError as error:
            self.bank.unload(name)
            raise ValueError(f"adapter {name!r} cannot be applied: {error}") from error
        if not finite:
            self.bank.unload(name)
            raise ValueError(f"adapter {name!r} makes log-probabilities that are not finite")

    def prefill(self, batch: Batch) -> Tensor:
        """Read prompts; return logits [B, T, V], or only the last column's where that is enough."""
        lengths = [row.length for row in batch.rows]
        width = max(lengths)
        ids_BT = torch.zeros(len(lengths), width, dtype=torch.long)
        batch.mask_BT = torch.zeros_like(ids_BT)
        for index, row in enumerate(batch.rows):
            ids_BT[index, width - row.length :] = torch.tensor(row.request.prompt)
            batch.mask_BT[index, width - row.length :] = 1
        positions_BT = (batch.mask_BT.cumsum(-1) - 1).clamp_(min=0)
        scoring = batch.rows[0].request.sampling.score_prompt
        return self._forward(batch, ids_BT, positions_BT, last_only=not scoring)

    def advance(self, batch: Batch) -> Tensor:
        """Read each row's last token; return logits [B, V] of the next."""
        ids_B1 = torch.tensor([[row.last] for row in batch.rows])
        positions_B1 = torch.tensor([[row.length] for row in batch.rows])
        batch.mask_BT = torch.cat([batch.mask_BT, torch.ones_like(ids_B1)], dim=1)
        logits_B1V = self._forward(batch, ids_B1, positions_B1, last_only=True)
        for row in batch.rows:
            row.length += 1
        return logits_B1V[:, -1]

    def _forward(
        self, batch: Batch, ids_BT: Tensor, positions_BT: Tensor, *, last_only: bool
    ) -> Tensor:
        cache: Any = DynamicCache()
        for layer, (keys, values) in enumerate(zip(batch.keys, batch.values, strict=True)):
            cache.update(keys, values, layer)
        self.bank.use([row.adapter for row in batch.rows])
        extra = {"logits_to_keep": 1} if last_only and self._keeps_logits else {}
        logits_BTV: Tensor = self.model(
            input_ids=ids_BT.to(self.model.device),
            attention_mask=batch.mask_BT.to(self.model.device),
            position_ids=positions_BT.to(self.model.device),
            past_key_values=cache,
            use_cache=True,
            **extra,
        ).logits
        batch.keys = [layer.keys for layer in cache.layers]
        batch.values = [layer.values for layer in cache.layers]
        return logits_BTV


def prompt_scores(row: Row, logits_TV: Tensor) -> tuple[PromptLogprob, ...]:
    """Return what the row's policy thinks of its prompt's tokens, where the request asks for it."""
    prompt = row.request.prompt
    if not row.request.sampling.score_prompt or len(prompt) < 2:
        return ()
    logprobs_TV = logits_TV[-len(prompt) : -1].float().log_softmax(-1)
    ids_T1 = torch.tensor(prompt[1:], device=logprobs_TV.device)[:, None]
    chosen_T1 = logprobs_TV.gather(1, ids_T1)
    ranks_T = (logprobs_TV > chosen_T1).sum(-1) + 1
    told = zip(prompt[1:], chosen_T1[:, 0].tolist(), ranks_T.tolist(), strict=True)
    return tuple(PromptLogprob(id=one, logprob=value, rank=rank) for one, value, rank in told)


def _load_model(folder: Path, device: torch.device) -> Any:
    """Return the model in float32 on a CPU, in its own type elsewhere.

    Raises ValueError where its layers keep something other than keys and values.
    """
    disable_progress_bar()  # Its bar on standard error is no line of the log.
    config = AutoConfig.from_pretrained(folder)
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - KNOWN_LAYERS:
        raise ValueError(f"{folder}: the embedded engine has no cache for layers {sorted(kinds)}")
    dtype = torch.float32 if device.type == "cpu" else "auto"
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    return model.to(device).eval().requires_grad_(False)
