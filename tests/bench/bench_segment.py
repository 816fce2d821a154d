"""Bench segment: packed episodes' losses and their derivative, against plain PyTorch.

`python -m bench_segment` measures, in turns in one process, `segment_losses` (`packed`),
autograd over a padded matrix of one row an episode, padding beforehand not counted (`padded`), and
the same episode by episode (`loop`); it writes `tests/bench/results/segments.csv`. Error: of the derivative
against the padded one in float64, at worst, relative to the largest.
"""

import argparse
import csv
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import bench_meter
import torch
from bench_heads import OBJECTIVE
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.nn.utils.rnn import pad_sequence

from rlwd.kernels.dispatch import (
    Dpo,
    Kto,
    Packed,
    PolicyGradient,
    log_ratios,
    segment_losses,
    token_weights,
)

SHEET = Path(__file__).parent / "results" / "segments.csv"
EPISODES, LONGEST = 256, 256
OBJECTIVES = (
    PolicyGradient(token=OBJECTIVE, filter="k3", limit=0.005, drift_weight=1e-3),
    Kto(),
    Dpo(),
)
WAYS = ("packed", "padded", "loop")


def draw(episodes: int, longest: int) -> Packed:
    """Draw episodes of 1 to `longest` tokens, a few nats from certain."""
    source = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, longest + 1, (episodes,), generator=source)
    normal = torch.randn(5, int(lengths.sum()), generator=source)
    logp = -normal[0].abs()
    made = Packed(
        logp=logp,
        bounds=torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)]),
        behaviour=logp + 0.1 * normal[1],
        advantages=normal[2],
        kl=normal[3].abs(),
        reference=logp + 0.01 * normal[4],
        desirable=torch.rand(episodes, generator=source) < 0.5,
        baseline=torch.zeros(1),
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Packed._make(None if values is None else values.to(device) for values in made)


def pad(packed: Packed) -> tuple[Packed, Tensor]:
    """Return the tokens' arrays as [S, T], and which entries are tokens."""
    lengths = packed.bounds.diff()

    def rows(values: Tensor | None) -> Tensor | None:
        if values is None or len(values) != len(packed.logp):
            return values
        return pad_sequence(list(torch.split(values, lengths.tolist())), batch_first=True)

    mask = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
    return Packed._make(rows(values) for values in packed), mask


def plain(given: Packed, mask_ST: Tensor, objective: Any) -> Tensor:
    """Losses of padded episodes, for autograd to differentiate."""
    logp_ST, _, behaviour_ST, advantages_ST, kl_ST, reference_ST, desirable_S, baseline = given
    lengths_S = mask_ST.sum(1)
    if isinstance(objective, PolicyGradient):
        assert behaviour_ST is not None
        assert advantages_ST is not None
        assert kl_ST is not None
        d_ST = log_ratios(logp_ST, behaviour_ST)
        keep_S = ((d_ST.expm1() - d_ST) * mask_ST).sum(1) / lengths_S <= objective.limit
        weight_ST = token_weights(logp_ST, behaviour_ST, advantages_ST, objective.token)
        each_ST = -weight_ST * keep_S[:, None] * logp_ST + objective.token.kl_weight * kl_ST
        each_ST = each_ST + objective.drift_weight * (logp_ST - behaviour_ST).square()
        return (each_ST * mask_ST).sum(1)
    assert reference_ST is not None
    apart_S = ((logp_ST - reference_ST) * mask_ST).sum(1)
    if isinstance(objective, Dpo):
        apart_S = apart_S / lengths_S
        return -logsigmoid(objective.beta * (apart_S[0::2] - apart_S[1::2]))
    assert desirable_S is not None
    assert baseline is not None
    sign_S = torch.where(desirable_S, 1.0, -1.0)
    return 1.0 - torch.sigmoid(sign_S * objective.beta * (apart_S - baseline))


def gradient(way: str, packed: Packed, padded: tuple[Packed, Tensor], objective: Any) -> Tensor:
    """Return the derivative to every token's log-probability [M], by one way."""
    if way == "packed":
        logp_M = packed.logp.detach().requires_grad_()
        total = segment_losses(packed._replace(logp=logp_M), objective).losses.sum()
        (grad_M,) = torch.autograd.grad(total, logp_M)
        return grad_M
    given, mask_ST = padded
    logp_ST = given.logp.detach().requires_grad_()
    given = given._replace(logp=logp_ST)
    if way == "padded":
        total = plain(given, mask_ST, objective).sum()
    else:
        step = 2 if isinstance(objective, Dpo) else 1
        parts = [
            plain(_some(given, slice(i, i + step)), mask_ST[i : i + step], objective)
            for i in range(0, len(mask_ST), step)
        ]
        total = torch.cat(parts).sum()
    (grad_ST,) = torch.autograd.grad(total, logp_ST)
    return grad_ST[mask_ST]


def _some(given: Packed, rows: slice) -> Packed:
    each = (None if values is None or len(values) == 1 else values[rows] for values in given)
    return Packed._make(each)._replace(baseline=given.baseline)


def measured(episodes: int, longest: int, repeats: int) -> list[dict[str, Any]]:
    """Return a row for each way and objective; the first calls are not counted."""
    packed = draw(episodes, longest)
    padded, rows = pad(packed), []
    exact = Packed._make(
        values.double() if values is not None and values.is_floating_point() else values
        for values in packed
    )
    for objective in OBJECTIVES:
        wanted = gradient("padded", exact, pad(exact), objective)
        took: dict[str, list[bench_meter.Took]] = {way: [] for way in WAYS}
        for turn in range(repeats + 2):
            for way in WAYS[:: 1 if turn % 2 == 0 else -1]:
                work = partial(gradient, way, packed, padded, objective)
                took[way].append(bench_meter.timed(work))
        for way in WAYS:
            error = (gradient(way, packed, padded, objective).double() - wanted).abs().max()
            rows.append(
                {
                    "objective": type(objective).__name__,
                    "way": way,
                    "device": bench_meter.device(),
                    "tokens": len(packed.logp),
                    "episodes": episodes,
                    "seconds": statistics.median(each.seconds for each in took[way][2:]),
                    "cpu_seconds": statistics.median(each.cpu_seconds for each in took[way][2:]),
                    "error": float(error / wanted.abs().max()),
                }
            )
    return rows


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    torch.set_num_threads(1)  # as the other benches
    rows = measured(EPISODES, LONGEST, parser.parse_args().repeats)
    SHEET.parent.mkdir(exist_ok=True)
    with SHEET.open("w", newline="") as file:
        sheet = csv.DictWriter(file, list(rows[0]))
        sheet.writeheader()
        sheet.writerows(rows)
    print(f"{rows[0]['device']}; {rows[0]['tokens']:,} tokens, {EPISODES} episodes\n")
    print("| objective | way | ms | CPU ms | error |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['objective']} | {row['way']} | {row['seconds'] * 1e3:,.2f} "
            f"| {row['cpu_seconds'] * 1e3:,.2f} | {row['error']:.1e} |"
        )


if __name__ == "__main__":
    main()
