"""Estimator picture: a panel for each measure, a line for each estimator."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("Agg")
from estimator_world import Name
from matplotlib import pyplot

COLOURS = {
    "tracker": "tab:blue",
    "exponential_mean": "tab:green",
    "reinforce_plus_plus": "tab:gray",
    "contextual": "tab:red",
}


class Curves(NamedTuple):
    """One panel."""

    where: str
    """What was learned from."""
    what: str
    """What is shown; less is better."""
    lines: Mapping[Name, Sequence[float]]
    """Of each estimator, batch by batch."""


def draw_curves(panels: Sequence[Curves], path: Path) -> None:
    """Write the picture."""
    figure: Any
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(3.1 * len(panels), 2.9), layout="constrained"
    )
    for panel, axis in zip(panels, axes, strict=True):
        for name, values in panel.lines.items():
            axis.plot(range(1, len(values) + 1), values, color=COLOURS[name], label=name, lw=1.3)
        axis.set_title(f"{panel.where}:\n{panel.what}", fontsize=8)
        axis.set_xlabel("batch", fontsize=8)
        axis.set_ylim(bottom=0.0)
        axis.tick_params(labelsize=7)
    axes[0].legend(fontsize=6, loc="lower left")
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
