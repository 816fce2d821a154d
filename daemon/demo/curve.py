"""Curve: the demo's picture of accept rate over answers, with the version changes marked."""

from collections.abc import Sequence
from pathlib import Path

from .crowd import CrowdAnswer

WINDOW = 200
"""Answers to each point of the curve."""


def champion_changes(answers: Sequence[CrowdAnswer]) -> list[tuple[int, str]]:
    """Return where the champion's version changed: index of the first answer, and the version."""
    changes: list[tuple[int, str]] = []
    for index, answer in enumerate(answers):
        is_champion = answer.variant in ("champion", "control")
        if is_champion and answer.version not in {version for _, version in changes}:
            changes.append((index, answer.version))
    return changes


def rolling(values: Sequence[bool], window: int = WINDOW) -> list[float]:
    """Return the mean of the last `window` values at each place."""
    means, total = [], 0
    for index, value in enumerate(values):
        total += value
        if index >= window:
            total -= values[index - window]
        means.append(total / min(index + 1, window))
    return means


def answers_until(values: Sequence[bool], share: float) -> int | None:
    """Return after how many answers a whole window of them was first accepted at this rate."""
    means = enumerate(rolling(values), start=1)
    return next((n for n, mean in means if n >= WINDOW and mean >= share), None)


def draw_curve(answers: Sequence[CrowdAnswer], path: Path, *, by_truth: bool = False) -> None:
    """Write the learning curve as a PNG: all answers, and the candidates' apart.

    Shown is what was accepted, or what was wanted where not everybody says so.
    """
    good = [answer.wanted if by_truth else answer.taken for answer in answers]
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 5), dpi=130)
    curve = rolling(good)
    start = min(50, len(curve) // 10)
    axes.plot(
        range(start, len(curve)), curve[start:], color="#1f5fa8", linewidth=2, label="all answers"
    )
    # A rate of the first few says nothing; drawn from a tenth of a window on.
    candidate = [(i, good[i]) for i, a in enumerate(answers) if a.variant == "candidate"]
    if candidate:
        places, taken = zip(*candidate, strict=True)
        axes.plot(places, rolling(taken), ".", color="#e08a1e", markersize=2, label="candidates")
    for index, version in champion_changes(answers):
        axes.axvline(index, color="#888888", linewidth=0.8, linestyle="--")
        label = (
            version.rpartition("@")[2].split("-")[0].replace("v00000", "v").replace("v0000", "v")
        )
        axes.text(index, 1.01, f" {label}", fontsize=8, color="#444444", rotation=45)
    axes.set(
        xlabel="answers",
        ylabel=f"{'wanted' if by_truth else 'accepted'} (last {WINDOW})",
        ylim=(0, 1),
        xlim=(0, len(curve)),
    )
    axes.axhline(0.8, color="#bbbbbb", linewidth=0.8)
    axes.set_title(
        f"{'Wanted' if by_truth else 'Accepted'}; dashed lines: a new champion", pad=28, loc="left"
    )
    axes.legend(loc="lower right", frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
