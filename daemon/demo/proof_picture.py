"""Proof picture: what people accepted, what was never taught, what was kept, and how long it took."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .crowd import CrowdAnswer
from .curve import champion_changes, rolling
from .sitting import Sitting

WINDOW = 100
"""Answers to each point of the curve."""
LINES = {
    "unseen": ("#1a8f5a", "o", "things and kinds never asked about"),
    "reworded": ("#e08a1e", "s", "wordings never used"),
    "everyday": ("#8a4fb0", "D", "everyday questions right"),
}
PARTS = {
    "waiting_for_batch": ("#9db8d6", "waiting for a batch"),
    "learning": ("#4f7fb3", "learning"),
    "gate_and_first_answer": ("#1f3f66", "gate, and the version's turn"),
}


def draw_proof(
    path: Path,
    answers: Sequence[CrowdAnswer],
    sittings: Sequence[Sitting],
    report: Mapping[str, Any],
) -> None:
    """Write the picture as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, figsize=(10, 6.5), dpi=130, height_ratios=(5, 1))
    curve = rolling([answer.taken for answer in answers], WINDOW)
    start = min(WINDOW // 2, len(curve) // 10)
    above.plot(
        range(start, len(curve)),
        curve[start:],
        color="#1f5fa8",
        linewidth=2,
        label=f"accepted (last {WINDOW})",
    )
    for kind, (color, mark, label) in LINES.items():
        points = [(one.at, one.share(kind)) for one in sittings if one.share(kind) is not None]
        if points:
            style = {"color": color, "marker": mark, "linewidth": 1, "linestyle": ":"}
            above.plot(*zip(*points, strict=True), label=label, **style)
    for index, version in champion_changes(answers):
        above.axvline(index, color="#cccccc", linewidth=0.8, linestyle="--")
        number = version.rpartition("@v")[2].split("-")[0].lstrip("0") or "0"
        above.text(index, 1.01, f" v{number}", fontsize=8, color="#444444")
    above.set(xlabel="answers", ylim=(0, 1), xlim=(0, max(len(curve), 1)))
    above.legend(loc="lower right", frameon=False)
    _draw_parts(below, report)
    for axes in (above, below):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _draw_parts(axes: Any, report: Mapping[str, Any]) -> None:
    """Draw from event to served, as means of the parts and the middle of the whole."""
    served = report.get("event_to_served_s") or {}
    left = 0.0
    for name, (color, label) in PARTS.items():
        seconds = (served.get("parts") or {}).get(name, 0.0)
        axes.barh(0, seconds, left=left, color=color, label=label)
        left += seconds
    if served.get("p50") is not None:
        axes.axvline(served["p50"], color="#c0392b", linewidth=1.5, label="middle of the whole")
    axes.set(xlabel="seconds from event to served", yticks=[])
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
