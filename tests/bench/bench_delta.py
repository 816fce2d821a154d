"""Bench delta: an update of one weight as a sparse patch, against moving the weight whole.

`python -m bench_delta` steps a bfloat16 weight's float32 master as an optimizer at a
rate of 1e-6 does, and writes `tests/bench/results/delta.csv`: seconds of each part, bytes sent, and how many
numbers of the receiver are not the trainer's bits afterwards.
"""

import argparse
import csv
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench_meter
import torch
from torch import Tensor

from rlwd.kernels.delta import WeightSnapshot, apply_patches
from rlwd.kernels.digest import bits_of, digest

SHEET = Path(__file__).parent / "results" / "delta.csv"
SHAPE = (14336, 4096)
"""One of the three MLP weights in a layer of an 8B model."""
RATE = 1e-6


def stepped(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return a weight before and after a step."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    source = torch.Generator(device=device).manual_seed(0)
    master, moved = (torch.randn(shape, generator=source, device=device) for _ in range(2))
    before = master.mul_(0.02).bfloat16()
    return before, master.add_(moved, alpha=RATE).bfloat16()


def measured(shape: tuple[int, int], repeats: int) -> list[dict[str, Any]]:
    """Return a row for each part of either way; the first call of each is not counted."""
    before, after = stepped(shape)
    snapshot, served = WeightSnapshot({"w": before}), {"w": before.clone()}
    patches = snapshot.changes({"w": after})
    (patch,) = patches
    sparse = sum(each.numel() * each.element_size() for each in (patch.indices, patch.values))
    dense = after.numel() * after.element_size()

    def apply() -> None:
        apply_patches(served, patches, {"w": patch.base})

    parts: dict[str, tuple[Callable[[], object], int]] = {
        "patch: compare, compact, digest": (lambda: snapshot.changes({"w": after}), sparse),
        "patch: check and write": (apply, sparse),
        "torch: compare, nonzero, gather": (lambda: _nonzero(after, before), 0),
        "whole: copy": (lambda: served["w"].copy_(after), dense),
        "whole: digest": (lambda: digest(after), 0),
    }
    rows = []
    for name, (work, sent) in parts.items():
        times = []
        for _ in range(repeats + 1):
            served["w"].copy_(before)  # a patch fits its base alone
            times.append(bench_meter.timed(work))
        wrong = int((bits_of(served["w"]) != bits_of(after)).sum())
        rows.append(
            {
                "part": name,
                "device": bench_meter.device(),
                "numbers": after.numel(),
                "changed": len(patch.indices) / after.numel(),
                "seconds": statistics.median(took.seconds for took in times[1:]),
                "cpu_seconds": statistics.median(took.cpu_seconds for took in times[1:]),
                "bytes": sent,
                "wrong": wrong if "write" in name or "copy" in name else "",
            }
        )
    return rows


def _nonzero(after: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    new = bits_of(after)
    indices = (new != bits_of(before)).nonzero()[:, 0]
    return indices, new[indices]


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return Markdown."""
    lines = ["| part | ms | CPU ms | MB sent | wrong |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        sent = f"{row['bytes'] / 1e6:,.1f}" if row["bytes"] else ""
        lines.append(
            f"| {row['part']} | {row['seconds'] * 1e3:,.1f} | {row['cpu_seconds'] * 1e3:,.1f} "
            f"| {sent} | {row['wrong']} |"
        )
    return lines


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50 if torch.cuda.is_available() else 5)
    torch.set_num_threads(1)  # as the other benches
    rows = measured(SHAPE, parser.parse_args().repeats)
    SHEET.parent.mkdir(exist_ok=True)
    with SHEET.open("w", newline="") as file:
        sheet = csv.DictWriter(file, list(rows[0]))
        sheet.writeheader()
        sheet.writerows(rows)
    head = f"{rows[0]['device']}; {rows[0]['numbers']:,} numbers, {rows[0]['changed']:.2%} changed"
    print("\n".join([head, "", *table(rows)]))


if __name__ == "__main__":
    main()
