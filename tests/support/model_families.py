"""Families of models, tiny and random, and what the learner makes of each: the table of docs/models.md.

    PYTHONPATH=.typing python tests/support/model_families.py docs/models.md

writes the table between the page's markers. Nothing is downloaded: the models are made on the spot
from the configurations of the installed transformers.
"""

import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import msgspec
import torch
import transformers
from tiny_learner import TINY

from rlwd.learner.train.load import load_policy

SMALL: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
DENSE: dict[str, Any] = {
    **SMALL,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
}
HEADS: dict[str, Any] = {**DENSE, "head_dim": 8}
EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
LINEAR_ATTENTION: dict[str, Any] = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", DENSE),
    "qwen2": ("Qwen2Config", DENSE),
    "qwen3": ("Qwen3Config", HEADS),
    "qwen3_moe": ("Qwen3MoeConfig", {**HEADS, **EXPERTS, "num_experts": 4}),
    "qwen3_next": (
        "Qwen3NextConfig",
        {
            **HEADS,
            **EXPERTS,
            **LINEAR_ATTENTION,
            "num_experts": 4,
            "shared_expert_intermediate_size": 24,
        },
    ),
    "qwen3_5": ("Qwen3_5TextConfig", {**HEADS, **LINEAR_ATTENTION}),
    "mixtral": ("MixtralConfig", {**DENSE, "num_local_experts": 4}),
    "phimoe": ("PhimoeConfig", {**DENSE, "num_local_experts": 4}),
    "llama4_text": (
        "Llama4TextConfig",
        {**HEADS, "num_local_experts": 2, "intermediate_size_mlp": 48},
    ),
    "deepseek_v3": (
        "DeepseekV3Config",
        {
            **DENSE,
            **EXPERTS,
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "n_group": 1,
            "topk_group": 1,
            "kv_lora_rank": 8,
            "q_lora_rank": 8,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "first_k_dense_replace": 1,
        },
    ),
    "mistral": ("MistralConfig", DENSE),
    "gemma2": ("Gemma2Config", HEADS),
    "gemma3": ("Gemma3TextConfig", HEADS),
    "gemma3, with its vision tower": ("Gemma3Config", {"text_config": HEADS}),
    "phi3": ("Phi3Config", DENSE),
    "phi": ("PhiConfig", DENSE),
    "olmo2": ("Olmo2Config", DENSE),
    "smollm3": ("SmolLM3Config", DENSE),
    "gpt_oss": ("GptOssConfig", {**HEADS, "num_experts_per_tok": 2, "num_local_experts": 4}),
    "granite": ("GraniteConfig", {**DENSE, "logits_scaling": 8.0}),
    "granitemoe": (
        "GraniteMoeConfig",
        {**DENSE, "logits_scaling": 8.0, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "cohere": ("CohereConfig", {**DENSE, "logit_scale": 0.0625}),
    "cohere2": ("Cohere2Config", {**DENSE, "logit_scale": 0.25}),
    "lfm2": ("Lfm2Config", {**DENSE, "layer_types": ["conv", "full_attention"]}),
    "falcon": ("FalconConfig", {**SMALL, "multi_query": True}),
    "opt": (
        "OPTConfig",
        {
            "vocab_size": 96,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 48,
            "max_position_embeddings": 256,
            "word_embed_proj_dim": 32,
            "pad_token_id": 0,
        },
    ),
    "gpt2": (
        "GPT2Config",
        {
            "vocab_size": 96,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 256,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "bloom": (
        "BloomConfig",
        {"vocab_size": 96, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    ),
}

BEGIN, END = "<!-- families -->", "<!-- /families -->"
COLUMNS = ("family", "outcome", "adapter on", "left out")


def make_family(family: str, folder: Path) -> None:
    """Write a tiny model of the family, with random weights of a size that makes every part count."""
    name, given = FAMILIES[family]
    config = getattr(transformers, name)(**given)
    if hasattr(config, "vision_config"):
        config.vision_config.update(
            {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
        )
        config.vision_config.update({"num_attention_heads": 4, "image_size": 28, "patch_size": 14})
        config.mm_tokens_per_image = 4
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.3)
    model.save_pretrained(folder)


def tried(family: str) -> tuple[str, ...]:
    """Return the family's row of the table, by loading a model of it as the learner does."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        make_family(family, folder)
        try:
            policy = load_policy(
                msgspec.structs.replace(TINY, model=str(folder), lora_rank=2, lora_alpha=2.0)
            )
        except ValueError as refused:
            return family, f"refused: {str(refused).partition('): ')[2]}", "", ""
    outcome = "exact" if policy.packs else "exact, unpacked"
    if policy.logit_scale != 1.0:
        outcome += f", logits times {policy.logit_scale:g}"
    on = sorted({name.rpartition(".")[2] for name in policy.targets.names})
    return family, outcome, ", ".join(on), ", ".join(policy.targets.left_out)


def table() -> str:
    """Return the whole table as Markdown."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(tried(family) for family in FAMILIES)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Write the table into the page that is named."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    page = Path(sys.argv[1])
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main()
