"""What-if picture: rewards under two specs, a row for each segment, as SVG or PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .what_if import WhatIf

MOST_SEGMENTS = 8
"""Rows of the picture: the segments with the most answers."""
KINDS = (".svg", ".png", ".pdf")
BINS = 20


def check_picture(path: Path) -> None:
    """Refuse a name that says no kind of picture, or where none can be written, before any work.

    Raises ValueError naming `--picture`.
    """
    if path.suffix.lower() not in KINDS:
        raise ValueError(f"--picture: {path} ends in none of {', '.join(KINDS)}")
    if not path.parent.is_dir():
        raise ValueError(f"--picture: {path.parent} is no folder")
    if path.is_dir():
        raise ValueError(f"--picture: {path} is a folder")


def draw_what_if(found: WhatIf, path: Path) -> None:
    """Write the picture: how many answers are worth what, and each answer now against new."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    largest = sorted(found.segments.items(), key=lambda one: -len(one[1].ids))[:MOST_SEGMENTS]
    figure, axes = pyplot.subplots(
        len(largest) or 1, 3, figsize=(13, 1 + 3 * (len(largest) or 1)), squeeze=False
    )
    edges = np.linspace(0.0, 1.0, BINS + 1)
    told = found.document()
    for (segment, columns), (left, right, ranked) in zip(largest, axes, strict=False):
        now, new = np.array(columns.now), np.array(columns.new)
        shown = ((found.now.version, now, "#888888"), (found.new.version, new, "#1f5fa8"))
        for label, values, colour in shown:
            known = values[np.isfinite(values)]
            left.hist(known, bins=edges, histtype="step", color=colour, label=label, linewidth=1.5)
        left.set(title=f"{segment}: {len(now):,} answers", xlabel="reward", ylabel="answers")
        left.legend(frameon=False, fontsize=7)
        both = np.isfinite(now) & np.isfinite(new)
        counts, _, _ = np.histogram2d(now[both], new[both], bins=(edges, edges))
        # A cell without an answer is white, whatever the most crowded one holds.
        shades = np.where(counts.T > 0, counts.T, np.nan)
        right.pcolormesh(edges, edges, shades, cmap="viridis_r", rasterized=True)
        right.plot((0, 1), (0, 1), color="#bbbbbb", linewidth=0.8)
        right.set(xlabel="reward now", ylabel="reward new", xlim=(0, 1), ylim=(0, 1))
        _draw_agreement(ranked, told, segment)
    for each in axes.flat:
        for side in ("top", "right"):
            each.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _draw_agreement(axis: Any, told: Mapping[str, Any], segment: str) -> None:
    """Draw Kendall's tau-b of the rewards, and of each part that both specs have, as bars."""
    whole = next(one for one in told["segments"] if one["segment"] == segment)
    parts = [one for one in told["parts"] if one["segment"] == segment]
    rows = [(one["part"], one["tau"]) for one in reversed(parts) if one["tau"] is not None]
    rows.append(("reward", whole["tau"] if whole["tau"] is not None else 0.0))
    axis.barh([name for name, _ in rows], [tau for _, tau in rows], color="#1f5fa8", height=0.6)
    turned = whole["learner"]["signs"]
    signs = "" if turned is None else f"; {turned:.0%} of the signs turn"
    axis.set(xlim=(-1, 1), xlabel="Kendall's tau-b, now and new", title=f"order{signs}")
    axis.tick_params(labelsize=7)
