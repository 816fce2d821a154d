"""Bench row: what one provider took in one round, and the table of all."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one provider took in one round."""

    provider: str
    """A name of `bench_heads`; `+all` where it got the tokens that carry no loss too."""
    device: str
    """Its name."""
    tokens: int
    """M of the task."""
    width: int
    """D."""
    vocabulary: int
    """V."""
    share: float
    """Of the tokens that carry loss."""
    anchored: bool
    """Whether the loss has a KL to an anchor."""
    seconds: float
    """Median of the repetitions: forward and backward."""
    cpu_seconds: float
    """Of processor time, all threads: what a busy machine distorts least."""
    peak_mb: float
    """Memory at the peak beyond the inputs."""
    error: float
    """Worst relative error of a gradient row among those sampled."""


def table(rows: Sequence[Row]) -> list[str]:
    """Return Markdown: medians over the rounds, each beside eager's.

    GFLOP/s are of the useful work alone: two passes of the head's GEMM over the tokens that carry
    loss, three with an anchor.
    """
    lines = [
        "| M x D x V, share | anchor | provider | ms | of eager | CPU ms | of eager |"
        + " peak MB | of eager | GFLOP/s | error |"
    ]
    lines.append("| --- " * 11 + "|")
    shapes = dict.fromkeys((r.tokens, r.width, r.vocabulary, r.share, r.anchored) for r in rows)
    for shape in shapes:
        ours = [r for r in rows if (r.tokens, r.width, r.vocabulary, r.share, r.anchored) == shape]
        middle = {
            name: [statistics.median(getattr(r, field) for r in ours if r.provider == name)
                   for field in ("seconds", "cpu_seconds", "peak_mb", "error")]
            for name in dict.fromkeys(r.provider for r in ours)
        }  # fmt: skip
        # A task too small to reach beyond what was in use has no peak.
        base = middle.get("eager+all", middle.get("eager", [1.0] * 4))
        m, d, v, share, anchored = shape
        useful = 2e-9 * m * share * d * v * (3 if anchored else 2)
        for name, (s, c, p, e) in middle.items():
            lines.append(
                f"| {m} x {d} x {v}, {share:g} | {'yes' if anchored else 'no'} | {name} "
                f"| {s * 1e3:,.0f} | {s / base[0]:.2f} | {c * 1e3:,.0f} | {c / base[1]:.2f} "
                f"| {p:,.0f} | {p / max(base[2], 0.1):.2f} | {useful / s:,.0f} | {e:.1e} |"
            )
    return lines
