"""Bench: the LM head's loss and its gradient, by provider: seconds, peak memory and error.

`python -m bench_kernels` runs each provider in a process of its own, in turns, so that one's
memory is not another's, on a CPU with one thread, and writes `tests/bench/results/kernels.csv` and `kernels.png`. Beside each time stands
the error of the gradient against float64 on the same numbers. A package that is not installed is
named and left out.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import bench_heads
import bench_meter
import torch
from bench_heads import ON_GPU, PROVIDERS, Task
from bench_others import OTHERS, missing
from bench_row import Row, table

SHEET = Path(__file__).parent / "results" / "kernels.csv"
Shape = tuple[int, int, int, float, bool]
"""Tokens, width, vocabulary, share that carries loss, against an anchor."""
CPU_SHAPES: list[Shape] = [
    (1024, 512, 32768, 1.0, True),
    (1024, 512, 32768, 0.25, True),
    (1024, 512, 32768, 1.0, False),
    (1024, 512, 32768, 0.25, False),
    (256, 896, 151936, 1.0, True),
    (256, 896, 151936, 1.0, False),
]
GPU_SHAPES: list[Shape] = [
    (tokens, width, 151936, share, anchored)
    for tokens in (8192, 16384, 32768)
    for width in (2048, 2560, 4096)
    for share in (1.0, 0.5, 0.25)
    for anchored in (False, True)
]
SAMPLED_ROWS = 32
# Calls that only warm up, and calls that count.
CALLS = {"cpu": (1, 2), "cuda": (10, 50)}


def measured(provider: str, shape: Shape, calls: tuple[int, int]) -> Row:
    """Measure one provider in this process."""
    kind = ("cuda", "bfloat16") if torch.cuda.is_available() else ("cpu", "float32")
    task = bench_heads.draw(*shape, *kind)
    name, everything = provider.removesuffix("+all"), provider.endswith("+all")
    if not everything:
        task = task.cut(task.useful.nonzero()[:, 0])
    loss = {**PROVIDERS, **ON_GPU, **{n: other.run for n, other in OTHERS.items()}}[name]
    if name in OTHERS:
        torch.set_float32_matmul_precision("high")  # some put float32 through their GEMMs

    def work() -> None:
        task.hidden.grad = None
        loss(task).backward()  # type: ignore[no-untyped-call]

    # What it imports and compiles is not its peak.
    loss(task.cut(_first_rows(task))).backward()  # type: ignore[no-untyped-call]
    before = bench_meter.forget()
    times = [bench_meter.timed(work) for _ in range(sum(calls))][calls[0] :]
    peak = bench_meter.peak() - before
    return Row(
        provider=provider,
        device=bench_meter.device(),
        tokens=shape[0],
        width=shape[1],
        vocabulary=shape[2],
        share=shape[3],
        anchored=shape[4],
        seconds=statistics.median(took.seconds for took in times),
        cpu_seconds=statistics.median(took.cpu_seconds for took in times),
        peak_mb=peak / 1e6,
        error=_error(task),
    )


def _error(task: Task) -> float:
    """Compare a few gradient rows, already made, to eager in float64."""
    assert task.hidden.grad is not None
    rows = _first_rows(task)
    exact = task.cut(rows).exact()
    bench_heads.eager(exact).backward()  # type: ignore[no-untyped-call]
    wanted, got = exact.hidden.grad, task.hidden.grad[rows].double()
    assert wanted is not None
    return float(((got - wanted).norm(dim=1) / wanted.norm(dim=1).clamp(min=1e-12)).max())


def _first_rows(task: Task) -> torch.Tensor:
    return torch.arange(min(SAMPLED_ROWS, len(task.targets)), device=task.targets.device)


def providers(share: float, anchored: bool) -> list[str]:
    """Return who takes part: all with the useful tokens alone, others also with every one."""
    cuda = torch.cuda.is_available()
    others = [] if anchored else [name for name in OTHERS if not missing(name)]
    names = [*PROVIDERS, *(ON_GPU if cuda else ()), *others]
    return names + ([f"{name}+all" for name in ("eager", *others)] if share < 1.0 else [])


def run(shapes: list[Shape], rounds: int, calls: tuple[int, int]) -> list[Row]:
    """Measure every shape by every provider, in turns; what fails is named and left out."""
    rows = list[Row]()
    for name in OTHERS:
        if why := missing(name):
            print(f"{name}: left out, {why}", file=sys.stderr)
    for shape in shapes:
        for turn in range(rounds):
            names = providers(shape[3], shape[4])
            for name in names if turn % 2 == 0 else names[::-1]:
                asked = json.dumps([name, shape, calls])
                ran = subprocess.run(
                    [sys.executable, "-m", __spec__.name, "--one", asked],
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                if ran.returncode:
                    why = (ran.stderr.strip() or "?").splitlines()[-1]
                    print(f"{name} at {shape}: left out, {why}", file=sys.stderr)
                    continue
                rows.append(Row(**json.loads(ran.stdout.splitlines()[-1])))
    return rows


def main() -> None:
    """Run the bench, or one provider of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1 if torch.cuda.is_available() else 3)
    parser.add_argument("--tokens", type=int, nargs="*", help="only shapes of so many tokens")
    parser.add_argument("--widths", type=int, nargs="*", help="only shapes of these widths")
    parser.add_argument("--shares", type=float, nargs="*", help="only shapes of these shares")
    parser.add_argument("--one", help="provider, shape and calls as JSON: measure in this process")
    asked = parser.parse_args()
    if asked.one:
        name, shape, calls = json.loads(asked.one)
        print(json.dumps(asdict(measured(name, tuple(shape), calls))))
        return
    cuda = torch.cuda.is_available()
    shapes = [
        shape
        for shape in (GPU_SHAPES if cuda else CPU_SHAPES)
        if (asked.tokens is None or shape[0] in asked.tokens)
        and (asked.widths is None or shape[1] in asked.widths)
        and (asked.shares is None or shape[3] in asked.shares)
    ]
    rows = run(shapes, asked.rounds, CALLS["cuda" if cuda else "cpu"])
    SHEET.parent.mkdir(exist_ok=True)
    with SHEET.open("w", newline="") as file:
        sheet = csv.DictWriter(file, list(asdict(rows[0])))
        sheet.writeheader()
        sheet.writerows(asdict(row) for row in rows)
    from bench_picture import draw

    draw(rows, SHEET.with_suffix(".png"))
    print("\n".join([f"{rows[0].device}, torch {torch.__version__}", "", *table(rows)]))


if __name__ == "__main__":
    main()
