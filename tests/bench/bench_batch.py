"""Bench batch: the model and the sealed batch that every way of an update is measured on."""

import math
import random
from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from rlwd.learner.sealed import SealedBatch, SealedEpisode

CPU_MODEL = {"vocab_size": 32768, "hidden_size": 256, "intermediate_size": 768,
             "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
             "head_dim": 64}  # fmt: skip
GPU_MODEL = {"vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072,
             "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8,
             "head_dim": 128}  # fmt: skip
EPISODES = 32


def make_model(folder: Path, shape: dict[str, int]) -> None:
    """Save a random Qwen3."""
    torch.manual_seed(0)
    config = Qwen3Config(**shape, tie_word_embeddings=True)
    Qwen3ForCausalLM(config).save_pretrained(folder)


def make_batch(kind: str, vocabulary: int, middle: int) -> SealedBatch:
    """Draw episodes of random tokens and rewards, their parts `middle` tokens long on average.

    The log-probabilities are an even guess: within a tenth or so of what a random model says.
    """
    draw = random.Random(0)

    def length() -> int:
        return middle if kind == "even" else draw.randrange(middle // 4, 7 * middle // 4 + 1)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(draw.randrange(vocabulary) for _ in range(count))

    def episode(index: int) -> SealedEpisode:
        prompt, completion = tokens(length()), tokens(length())
        return SealedEpisode(
            generation_id=str(index),
            segment="all",
            version="policy@v000000",
            age=0,
            prompt_token_ids=prompt,
            completion_token_ids=completion,
            logprobs=(-math.log(vocabulary),) * len(completion),
            temperature=1.0,
            reward=draw.random(),
            reward_revision=0,
        )

    return SealedBatch(
        batch_id=1,
        policy="policy",
        parent_sequence=0,
        spec_version="",
        episodes=tuple(episode(index) for index in range(EPISODES)),
        held_out=(),
        offsets={},
    )
