"""Hack picture: a panel for each hack and guard: what the learner was told, and what people wanted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .hack_profile import GUARDS
from .hack_run import ESCAPES, HackRun

WINDOW = 200
"""Answers to each point of a curve."""
FEWEST = 40
"""Answers from which on a curve is drawn."""
COLOURS = {"reward": "#c0392b", "wanted": "#1f5fa8", "hack": "#8a8a8a"}
MARKS = {"alarm": ("v", "#e08a1e"), "held": ("s", "#222222"), "rolled back": ("X", "#222222")}
TOLD = {
    "broken-calls": "broken calls",
    "asks-instead": "questions",
    "shape": "a taste of shape",
    "on": "guards on",
    "rollout": "naive rewards, rollout's guards on",
    "off": "guards off",
}


def draw_hacks(runs: Sequence[HackRun], path: Path) -> None:
    """Write a PNG with a row for each hack and a column for each guard that was run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    hacks = [name for name in ESCAPES if any(run.hack == name for run in runs)]
    guards = [name for name in reversed(GUARDS) if any(run.guard == name for run in runs)]
    figure, places = pyplot.subplots(
        len(hacks),
        len(guards),
        figsize=(5.2 * len(guards), 3.3 * len(hacks) + 0.5),
        dpi=80,
        squeeze=False,
        sharey=True,
    )
    by_kind = {(run.hack, run.guard): run for run in runs}
    for row, hack in enumerate(hacks):
        for column, guard in enumerate(guards):
            run, axes = by_kind.get((hack, guard)), places[row][column]
            seed = "" if run is None else f", seed {run.seed}"
            axes.set_title(f"{TOLD[hack]}, {TOLD[guard]}{seed}", loc="left", fontsize=10)
            if run is None:
                axes.set_axis_off()
            else:
                _draw(axes, run)
    handles, labels = next(
        one for axes in places.flat if (one := axes.get_legend_handles_labels())[0]
    )
    columns = 3 if len(guards) == 1 else len(labels)
    figure.legend(handles, labels, loc="lower center", ncol=columns, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.12 if columns == 3 else 0.06, 1, 1))
    figure.savefig(path)
    pyplot.close(figure)


def rolling_known(values: Sequence[float | None], window: int = WINDOW) -> list[float | None]:
    """Return the mean of what is known of the last `window` values at each place.

    >>> rolling_known([None, 1.0, 0.0, None], 2)
    [None, 1.0, 0.5, 0.0]
    """
    means = list[float | None]()
    for end in range(1, len(values) + 1):
        known = [one for one in values[max(0, end - window) : end] if one is not None]
        means.append(sum(known) / len(known) if known else None)
    return means


def _draw(axes: Any, run: HackRun) -> None:
    curves: dict[str, list[float | None]] = {
        "reward": [one.reward for one in run.answers],
        "wanted": [float(one.wanted) for one in run.answers],
        "hack": [float(run.did(one)) for one in run.answers],
    }
    told = {"reward": "reward", "wanted": "what people wanted", "hack": "the hack"}
    first = min(FEWEST, len(run.answers))
    for name, values in curves.items():
        means = [float("nan") if one is None else one for one in rolling_known(values)]
        axes.plot(
            range(first, len(means)),
            means[first:],
            color=COLOURS[name],
            linewidth=1.8,
            linestyle=":" if name == "hack" else "-",
            label=told[name],
        )
    for place in {mark.after for mark in run.marks if mark.what == "promoted"}:
        axes.axvline(place, color="#cccccc", linewidth=0.8, linestyle="--", zorder=0)
    heights = {"alarm": 1.04, "held": 1.12, "rolled back": 1.12}
    for what, (marker, colour) in MARKS.items():
        at = sorted({mark.after for mark in run.marks if mark.what == what})
        axes.plot(at, [heights[what]] * len(at), marker, color=colour, label=what)
    axes.set(xlim=(0, max(len(run.answers), 1)), ylim=(0, 1.18), xlabel="answers")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
