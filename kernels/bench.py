"""Bench: the LM head's loss and its gradient, by provider: seconds, peak memory and error.

`python -m rlwd.kernels.bench` runs each provider in a process of its own, in turns, so that one's
memory is not another's, and writes `ops/bench/kernels.csv` and `kernels.png`. Beside each time stands
the error of the gradient against float64 on the same numbers.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from . import bench_heads
from .bench_heads import ON_GPU, OTHERS, PROVIDERS, Task
from .bench_row import Row, table

SHEET = Path(__file__).parent.parent / "ops" / "bench" / "kernels.csv"
# Tokens, width, vocabulary, share that carries loss, against an anchor.
CPU_SHAPES = [
    (1024, 512, 32768, 1.0, True),
    (1024, 512, 32768, 0.25, True),
    (256, 896, 151936, 1.0, True),
    (256, 896, 151936, 1.0, False),
]
GPU_SHAPES = [
    (8192, width, 151936, share, anchored)
    for width in (2048, 2560, 4096)
    for share in (1.0, 0.25)
    for anchored in (True, False)
]
SAMPLED_ROWS = 32


def measured(provider: str, shape: tuple[int, int, int, float, bool], repeats: int) -> Row:
    """Measure one provider in this process; the first call is not counted."""
    cuda = torch.cuda.is_available()
    kind = ("cuda", "bfloat16") if cuda else ("cpu", "float32")
    task = bench_heads.draw(*shape, *kind)
    name, everything = provider.removesuffix("+all"), provider.endswith("+all")
    if not everything:
        task = task.cut(task.useful.nonzero()[:, 0])
    loss = {**PROVIDERS, **ON_GPU, **OTHERS}[name]
    _forget(cuda)
    before = _peak(cuda)
    times = [_timed(loss, task, cuda) for _ in range(repeats + 1)][1:]
    peak = _peak(cuda) - before
    device = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    return Row(
        provider=provider,
        device=device,
        tokens=shape[0],
        width=shape[1],
        vocabulary=shape[2],
        share=shape[3],
        anchored=shape[4],
        seconds=statistics.median(wall for wall, _ in times),
        cpu_seconds=statistics.median(cpu for _, cpu in times),
        peak_mb=peak / 1e6,
        error=_error(task),
    )


def _timed(loss: Any, task: Task, cuda: bool) -> tuple[float, float]:
    task.hidden.grad = None
    started, spent = time.perf_counter(), time.process_time()
    loss(task).backward()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started, time.process_time() - spent


def _forget(cuda: bool) -> None:
    """Let the peak start from what is in use now (Linux: proc(5), clear_refs)."""
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def _peak(cuda: bool) -> float:
    """Bytes at the peak: of the GPU's allocator, or resident."""
    if cuda:
        return float(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status").read_text()
    return 1024.0 * int(status.split("VmHWM:")[1].split()[0])


def _error(task: Task) -> float:
    """Compare a few gradient rows, already made, to eager in float64."""
    assert task.hidden.grad is not None
    rows = torch.arange(min(SAMPLED_ROWS, len(task.targets)), device=task.targets.device)
    exact = task.cut(rows).exact()
    bench_heads.eager(exact).backward()  # type: ignore[no-untyped-call]
    wanted, got = exact.hidden.grad, task.hidden.grad[rows].double()
    assert wanted is not None
    return float(((got - wanted).norm(dim=1) / wanted.norm(dim=1).clamp(min=1e-12)).max())


def providers(share: float, anchored: bool) -> list[str]:
    """Return who takes part: all with the useful tokens alone, plain PyTorch also with every one."""
    cuda = torch.cuda.is_available()
    names = [*PROVIDERS, *(ON_GPU if cuda else ()), *(OTHERS if cuda and not anchored else ())]
    return names + (["eager+all"] if share < 1.0 else [])


def run(rounds: int, repeats: int) -> list[Row]:
    """Measure every shape by every provider, in turns; what fails is named and left out."""
    rows = list[Row]()
    for shape in GPU_SHAPES if torch.cuda.is_available() else CPU_SHAPES:
        for turn in range(rounds):
            names = providers(shape[3], shape[4])
            for name in names if turn % 2 == 0 else names[::-1]:
                asked = json.dumps([name, shape, repeats])
                ran = subprocess.run(
                    [sys.executable, "-m", __spec__.name, "--one", asked],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                if ran.returncode:
                    print(
                        f"{name}: {(ran.stderr.strip() or '?').splitlines()[-1]}", file=sys.stderr
                    )
                    continue
                rows.append(Row(**json.loads(ran.stdout)))
    return rows


def main() -> None:
    """Run the bench, or one provider of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--one", help="provider, shape and repeats as JSON: measure in this process"
    )
    asked = parser.parse_args()
    if asked.one:
        name, shape, repeats = json.loads(asked.one)
        print(json.dumps(asdict(measured(name, tuple(shape), repeats))))
        return
    rows = run(asked.rounds, asked.repeats)
    SHEET.parent.mkdir(exist_ok=True)
    with SHEET.open("w", newline="") as file:
        sheet = csv.DictWriter(file, list(asdict(rows[0])))
        sheet.writeheader()
        sheet.writerows(asdict(row) for row in rows)
    from .bench_picture import draw

    draw(rows, SHEET.with_suffix(".png"))
    print("\n".join([f"{rows[0].device}, torch {torch.__version__}", "", *table(rows)]))


if __name__ == "__main__":
    main()
