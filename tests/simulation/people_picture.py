"""People picture: a panel for each scenario, a line for each setting."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot
from people_cases import CASES
from people_life import WINDOW
from people_told import ENOUGH, EVERY, Told

COLUMNS = 5


def draw_people(lives: Mapping[tuple[str, int], Told], seeds: Sequence[int], path: Path) -> None:
    """Write the picture: what was wanted of the last 200 answers, one line a seed and setting."""
    known = {name for name, _ in lives}
    names = list(dict.fromkeys(case.scenario for case in CASES if case.name in known))
    rows = max(1, -(-len(names) // COLUMNS))
    figure: Any
    figure, axes = pyplot.subplots(
        rows, COLUMNS, figsize=(2.6 * COLUMNS, 2.3 * rows), layout="constrained", sharey=True
    )
    for name, axis in zip(names, axes.flat, strict=False):
        cases = [case for case in CASES if case.scenario == name]
        for number, case in enumerate(cases):
            told = [lives[case.name, seed] for seed in seeds if (case.name, seed) in lives]
            for place, one in enumerate(told):
                answers = [WINDOW + EVERY * point for point in range(len(one.curve))]
                label = case.setting if not place else None
                axis.plot(answers, one.curve, color=f"C{number}", label=label, lw=1.1, alpha=0.8)
        axis.axhline(ENOUGH, color="0.8", lw=0.8)
        axis.set_title(name, fontsize=9)
        axis.set_ylim(0.0, 1.0)
        axis.tick_params(labelsize=7)
        if len(cases) > 1:
            axis.legend(fontsize=6, loc="upper left", frameon=False)
    figure.supxlabel("answers to people", fontsize=8)
    figure.supylabel(f"what was wanted, of the last {WINDOW}", fontsize=8)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
