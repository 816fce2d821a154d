"""Bench update: a whole learner update with the kernels, with plain PyTorch, and by TRL's trainer.

`python -m bench_update` applies one sealed batch to a random model of a large
vocabulary, each way in a process of its own and in turns, and writes `tests/bench/results/update.csv`:
tokens a second, processor time and peak memory over the whole update. On a CPU each has one thread.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench_meter
import bench_trl
import msgspec
import torch
from bench_batch import CPU_MODEL, GPU_MODEL, make_batch, make_model
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rlwd.kernels.dispatch import HeadOutputs, TokenObjective, token_weights
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train import loss, update
from rlwd.learner.train import state as learner_room
from rlwd.learner.train.state import Learner

SHEET = Path(__file__).parent / "results" / "update.csv"
# Lengths of the episodes, and passes over them: even ones leave TRL nothing to pad, four passes are
# the learner's own number. What plain PyTorch costs in the head's place the first one tells.
CASES = (("even", 1), ("mixed", 4))
CHUNK_TOKENS = 256
FIELDS = ("tokens_per_second", "tokens_per_cpu_second", "peak_mb", "grad_norm")
Plain = Callable[[Tensor, Tensor | None, Tensor, Tensor, Tensor], tuple[Tensor, ...]]


def plainly(plain: Plain) -> None:
    """Put plain PyTorch in the door's place, in this process."""
    size = CHUNK_TOKENS if plain is recomputed else 2**62

    def head(
        *inputs: Any, train_head: bool = False, anchor_weight_VD: Tensor | None = None
    ) -> HeadOutputs:
        assert not train_head, "adapters alone are measured"
        assert anchor_weight_VD is None, "adapters alone are measured"
        hidden_MD, anchor_MD, weight_VD, targets_M, temperature_M = inputs
        parts = []
        for start in range(0, len(targets_M), size):
            rows = slice(start, start + size)
            anchor = None if anchor_MD is None else anchor_MD[rows]
            parts.append(
                plain(hidden_MD[rows], anchor, weight_VD, targets_M[rows], temperature_M[rows])
            )
        return HeadOutputs(*(torch.cat(each) for each in zip(*parts, strict=True)))

    def token_loss(
        *inputs: Any,
        normaliser: float,
        row_weights_M: Tensor | None = None,
        train_head: bool = False,
        anchor_weight_VD: Tensor | None = None,
    ) -> tuple[Tensor, HeadOutputs, Tensor]:
        behaviour_M, advantages_M = inputs[5:7]
        objective: TokenObjective = inputs[7]
        out = head(*inputs[:5], train_head=train_head, anchor_weight_VD=anchor_weight_VD)
        weight_M = token_weights(out.logp, behaviour_M, advantages_M, objective)
        rows_M = objective.kl_weight * out.kl - weight_M * out.logp
        total = (rows_M if row_weights_M is None else rows_M * row_weights_M).sum()
        return total / normaliser, out, weight_M

    vars(learner_room)["logp_head"] = head
    vars(loss)["token_loss"] = token_loss


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
TRL_WAYS = ("trl", "trl+compact", "trl+checkpointing")
"""TRL's trainer with the options of `bench_trl.train`."""


def measured(way: str, model: Path, kind: str, passes: int) -> dict[str, Any]:
    """Apply the batch once in this process; two episodes before it only warm up."""
    cuda = torch.cuda.is_available()
    settings = LearnerSettings(
        model=str(model),
        passes=passes,
        lora_rank=8,
        lora_alpha=8.0,
        trust_region="truncated",  # TRL's loss has no mask
        dtype="bfloat16" if cuda else "float32",
        pack_tokens=2048 if cuda else 512,
    )
    vocabulary = (GPU_MODEL if cuda else CPU_MODEL)["vocab_size"]
    batch = make_batch(kind, vocabulary, 256 if cuda else 64)
    tokens = passes * sum(len(episode.completion_token_ids) for episode in batch.episodes)
    done = (_by_trl if way in TRL_WAYS else _by_us)(way, batch, settings)
    return {
        "way": way,
        "batch": kind,
        "passes": passes,
        "device": torch.cuda.get_device_name()
        if cuda
        else f"CPU, {torch.get_num_threads()} thread",
        "tokens_per_second": tokens / done["seconds"],
        "tokens_per_cpu_second": tokens / done["cpu_seconds"],
        "peak_mb": (bench_meter.peak() - done["base"]) / 1e6,
        "grad_norm": done["grad_norm"],
    }


def _by_us(way: str, batch: SealedBatch, settings: LearnerSettings) -> dict[str, float]:
    if plain := WAYS[way]:
        plainly(plain)
    learner = Learner(settings)
    update.apply_batch(learner, msgspec.structs.replace(batch, episodes=batch.episodes[:2]))
    base, made = bench_meter.forget(), list[update.Update]()
    took = bench_meter.timed(lambda: made.append(update.apply_batch(learner, batch)))
    return {"base": base, **took._asdict(), "grad_norm": made[0].metrics["grad_norm"]}


def _by_trl(way: str, batch: SealedBatch, settings: LearnerSettings) -> dict[str, float]:
    base = [0.0]
    made = bench_trl.train(
        Path(settings.model),
        batch.episodes,
        settings,
        options=way,
        begin=lambda: base.append(bench_meter.forget()),
    )
    seconds, used = made.seconds, made.cpu_seconds
    return {"base": base[-1], "seconds": seconds, "cpu_seconds": used, "grad_norm": made.grad_norm}


def main() -> None:
    """Run the bench, or one way of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", help="only these")
    parser.add_argument("--one", nargs=4, help="way, folder, batch, passes: in this process")
    asked = parser.parse_args()
    if asked.one:
        way, model, kind, passes = asked.one
        print(json.dumps(measured(way, Path(model), kind, int(passes))))
        return
    lacks = bench_trl.missing()
    if lacks:
        print(f"trl: left out, {lacks}: pip install 'rlwd[bench]'", file=sys.stderr)
    ways = [*WAYS, *(() if lacks else TRL_WAYS)]
    rows = run([way for way in ways if asked.ways is None or way in asked.ways], asked.rounds)
    SHEET.parent.mkdir(exist_ok=True)
    with SHEET.open("w", newline="") as file:
        sheet = csv.DictWriter(file, list(rows[0]))
        sheet.writeheader()
        sheet.writerows(rows)
    print("\n".join(table(rows)))


def run(ways: list[str], rounds: int) -> list[dict[str, Any]]:
    """Measure every case by every way, in turns; what fails is named and left out."""
    rows = list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder), GPU_MODEL if torch.cuda.is_available() else CPU_MODEL)
        for (kind, passes), turn in [(case, turn) for turn in range(rounds) for case in CASES]:
            todo = [way for way in ways if passes == 1 or WAYS.get(way) is None]
            for way in todo[:: 1 if turn % 2 == 0 else -1]:
                ran = subprocess.run(
                    [sys.executable, "-m", __spec__.name, "--one", way, folder, kind, str(passes)],
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                if ran.returncode:
                    print(f"{way}: {(ran.stderr.strip() or '?').splitlines()[-1]}", file=sys.stderr)
                    continue
                rows.append(json.loads(ran.stdout.splitlines()[-1]))
    return rows


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return Markdown: medians over the rounds, and what the kernels are to each way.

    On a CPU by its processor's seconds, which a busy machine distorts least.
    """
    speed = int(rows[0]["device"].startswith("CPU"))
    lines = [
        "| batch, passes | way | tokens/s | tokens/CPU s | kernels to it | peak MB | kernels to it"
        + " | gradient norm |",
        "| --- " * 8 + "|",
    ]
    for case in dict.fromkeys((row["batch"], row["passes"]) for row in rows):
        ours = [row for row in rows if (row["batch"], row["passes"]) == case]
        middle = {
            way: [statistics.median(r[field] for r in ours if r["way"] == way) for field in FIELDS]
            for way in dict.fromkeys(row["way"] for row in ours)
        }
        best = middle.get("kernels", [float("nan")] * len(FIELDS))
        for way, (wall, spent, peak, norm) in middle.items():
            faster, smaller = best[speed] / middle[way][speed], best[2] / peak
            lines.append(
                f"| {case[0]}, {case[1]} | {way} | {wall:,.0f} | {spent:,.0f} | {faster:.2f} "
                f"| {peak:,.0f} | {smaller:.2f} | {norm:.6f} |"
            )
    return lines


if __name__ == "__main__":
    main()
