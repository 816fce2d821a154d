"""Bench picture: time and peak memory of each provider, one pair of panels a shape."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from bench_row import Row
from matplotlib import pyplot

OURS = ("sweep", "rows")


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the picture; bars are medians over the rounds.

    On a CPU of processor time: what others run there stretches the clock's.
    """
    seconds = "cpu_seconds" if rows[0].device.startswith("CPU") else "seconds"
    shapes = list(dict.fromkeys(_shape(row) for row in rows))
    figure: Any
    figure, panels = pyplot.subplots(
        2, len(shapes), figsize=(3.2 * len(shapes), 4.6), squeeze=False, layout="constrained"
    )
    for column, shape in enumerate(shapes):
        ours = [row for row in rows if _shape(row) == shape]
        names = list(dict.fromkeys(row.provider for row in ours))
        for line, (field, unit, scale) in enumerate(((seconds, "ms", 1e3), ("peak_mb", "MB", 1))):
            panel: Any = panels[line][column]
            values = [
                scale * statistics.median(getattr(row, field) for row in ours if row.provider == n)
                for n in names
            ]
            colours = ["tab:blue" if name in OURS else "tab:gray" for name in names]
            bars = panel.barh(names, values, color=colours)
            panel.bar_label(bars, fmt="%.0f", padding=2, fontsize=7)
            panel.margins(x=0.2)
            panel.invert_yaxis()
            panel.tick_params(labelsize=7)
            shown = {"cpu_seconds": "processor ms", "peak_mb": "peak MB"}.get(field, unit)
            panel.set_xlabel(shown, fontsize=8)
            if not line:
                panel.set_title(shape, fontsize=8)
    figure.suptitle(f"Loss on the LM head, forward and backward: {rows[0].device}", fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _shape(row: Row) -> str:
    useful = f", {row.share:.0%} useful" if row.share < 1 else ""
    anchor = "anchor" if row.anchored else "no anchor"
    return f"{row.tokens} x {row.width} x {row.vocabulary}\n{anchor}{useful}"
