"""Bench update: a whole learner update with the kernels behind the door, and with plain PyTorch.

`python -m rlwd.learner.bench_update` applies one sealed batch to a small random model of a large
vocabulary, each way in a process of its own and in turns, and writes `ops/bench/update.csv`:
tokens a second, processor time and peak memory over the whole update.
"""

import argparse
import csv
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import Qwen3Config, Qwen3ForCausalLM

from ..kernels.dispatch import HeadOutputs
from . import learner as learner_room
from . import update
from .candidate import SealedBatch, SealedEpisode
from .learner import Learner
from .loss import Loss, policy_loss
from .settings import LearnerSettings

SHEET = Path(__file__).parent.parent / "ops" / "bench" / "update.csv"
VOCABULARY, PROMPT, COMPLETION, EPISODES = 32768, 64, 64, 32
CHUNK_TOKENS = 256
Plain = Callable[[Tensor, Tensor | None, Tensor, Tensor, Tensor], tuple[Tensor, ...]]


def make_model(folder: Path) -> None:
    """Save a random Qwen3 of 4 layers and a vocabulary of 32,768."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)


def make_batch() -> SealedBatch:
    """Draw episodes of random tokens and rewards."""
    draw = random.Random(0)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(draw.randrange(VOCABULARY) for _ in range(count))

    episodes = tuple(
        SealedEpisode(
            generation_id=str(i),
            segment="all",
            version="policy@v000000",
            age=0,
            prompt_token_ids=tokens(PROMPT),
            completion_token_ids=tokens(COMPLETION),
            logprobs=(-10.4,) * COMPLETION,
            temperature=1.0,
            reward=draw.random(),
            reward_revision=0,
        )
        for i in range(EPISODES)
    )
    return SealedBatch(
        batch_id=1,
        policy="policy",
        parent_sequence=0,
        spec_version="",
        episodes=episodes,
        held_out=(),
        offsets={},
    )


def plainly(plain: Plain) -> None:
    """Put plain PyTorch in the door's place, in this process."""

    def head(*inputs: Any) -> HeadOutputs:
        hidden_MD, anchor_MD, weight_VD, targets_M, temperature_M = inputs
        parts = []
        for start in range(0, len(targets_M), CHUNK_TOKENS if plain is recomputed else 2**62):
            rows = slice(start, start + (CHUNK_TOKENS if plain is recomputed else 2**62))
            anchor = None if anchor_MD is None else anchor_MD[rows]
            parts.append(
                plain(hidden_MD[rows], anchor, weight_VD, targets_M[rows], temperature_M[rows])
            )
        return HeadOutputs(*(torch.cat(each) for each in zip(*parts, strict=True)))

    def loss(
        hidden_MD: Tensor, anchor_MD: Tensor | None, head_VD: Tensor, packed: Any, advantages_M: Tensor,
        **rest: Any,
    ) -> Loss:  # fmt: skip
        out = head(hidden_MD, anchor_MD, head_VD, packed.targets_M, packed.temperature_M)
        return policy_loss(out, packed.behaviour_M, advantages_M, **rest)

    vars(learner_room)["logp_head"] = head
    vars(update)["swept_loss"] = loss


def eager(
    hidden_MD: Tensor, anchor_MD: Tensor | None, weight_VD: Tensor, targets: Tensor, heat: Tensor
) -> tuple[Tensor, ...]:
    """Every logit at once, kept for backward."""
    z = (hidden_MD @ weight_VD.T).float() / heat[:, None]
    logp = z.log_softmax(-1)
    chosen = logp.gather(1, targets[:, None])[:, 0]
    entropy = -(logp.exp() * logp).detach().sum(-1)
    zeros = torch.zeros_like(chosen)
    if anchor_MD is None:
        return chosen, zeros, entropy, zeros, zeros
    logq = ((anchor_MD @ weight_VD.T).float() / heat[:, None]).log_softmax(-1)
    return chosen, zeros, entropy, (logp.exp() * (logp - logq)).sum(-1), zeros


def recomputed(*inputs: Any) -> tuple[Tensor, ...]:
    """`eager` of a chunk, computed again in backward."""
    out: tuple[Tensor, ...] = checkpoint(eager, *inputs, use_reentrant=False)
    return out


WAYS: dict[str, Plain | None] = {"kernels": None, "eager": eager, "recomputed": recomputed}


def measured(way: str, model: Path) -> dict[str, Any]:
    """Apply the batch once in this process; the first, smaller one only warms up."""
    if plain := WAYS[way]:
        plainly(plain)
    learner = Learner(LearnerSettings(model=str(model), pack_tokens=512, passes=1, lora_rank=8))
    batch = make_batch()
    update.apply_batch(learner, msgspec.structs.replace(batch, episodes=batch.episodes[:2]))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from what is in use now
    before, started, spent = _peak(), time.perf_counter(), time.process_time()
    made = update.apply_batch(learner, batch)
    seconds = time.perf_counter() - started
    return {
        "way": way,
        "device": str(learner.policy.device),
        "tokens_per_second": EPISODES * COMPLETION / seconds,
        "cpu_seconds": time.process_time() - spent,
        "peak_mb": (_peak() - before) / 1e6,
        "grad_norm": made.metrics["grad_norm"],
    }


def _peak() -> float:
    status = Path("/proc/self/status").read_text()
    return 1024.0 * int(status.split("VmHWM:")[1].split()[0])


def main() -> None:
    """Run the bench, or one way of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help="way and model folder: measure in this process")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked.one[0], Path(asked.one[1]))))
        return
    rows = list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder))
        for turn in range(asked.rounds):
            for way in list(WAYS)[:: 1 if turn % 2 == 0 else -1]:
                command = [sys.executable, "-m", __spec__.name, "--one", way, folder]
                ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                rows.append(json.loads(ran.stdout))
    SHEET.parent.mkdir(exist_ok=True)
    with SHEET.open("w", newline="") as file:
        sheet = csv.DictWriter(file, list(rows[0]))
        sheet.writeheader()
        sheet.writerows(rows)
    fields = ("tokens_per_second", "cpu_seconds", "peak_mb", "grad_norm")
    print("| way | tokens/s | CPU s | peak MB | gradient norm |\n| --- | --- | --- | --- | --- |")
    for way in WAYS:
        ours = [statistics.median(r[field] for r in rows if r["way"] == way) for field in fields]
        print("| {} | {:,.0f} | {:.1f} | {:,.0f} | {:.6f} |".format(way, *ours))


if __name__ == "__main__":
    main()
