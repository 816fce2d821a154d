"""Real report: what the folds say together, as JSON, as a table, and as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from real_decisions import Decision, known_beforehand
from real_learning import FoldResult
from real_measures import (
    DRAWS,
    Array,
    Measured,
    Scored,
    area,
    area_gain,
    drawn_times,
    fitted,
    rank_correlation,
)

LEARNED, BASE, PLAIN = "learned", "base", "length and language"
SCORES = {
    LEARNED: "log-ratio to the base model, summed (KTO's reward)",
    "learned, a token": "the same, a token",
    "after, a token": "log-probability after learning, a token",
    BASE: "log-probability before learning, a token",
    "base, summed": "the same, summed",
    PLAIN: "logistic regression on length and language",
    "length, language, base": "and on the base model's log-probability, too",
    "writer": "the writing assistant's own log-probability, a token",
}
"""Each score with what it is; the first is the one that was chosen before anything was measured."""
STANDING = 0.9
"""A suggestion was kept where so much of it stands."""
HORIZONS = ("30", "120", "300")


class Together:
    """All decisions that were scored while their person was held out, in one order."""

    def __init__(self, told: Sequence[Decision], folds: Sequence[FoldResult], draws: int) -> None:
        known = {one.id: one for one in told}
        found = [(fold, one) for fold in folds for one in fold.likelihoods if one.id in known]
        self.decisions = [known[one.id] for _, one in found]
        names = sorted({one.person for one in self.decisions})
        self.people = np.array([names.index(one.person) for one in self.decisions])
        self.folds = np.array([fold.fold for fold, _ in found])
        self.taken = np.array([one.accepted for one in self.decisions])
        self.lengths = np.array([float(one.tokens) for one in self.decisions])
        base, learned, tokens = (
            np.array([float(getattr(one, name)) for _, one in found])
            for name in ("base", "learned", "tokens")
        )
        believed = [np.nan if one.believed is None else one.believed for one in self.decisions]
        self.scores: dict[str, Array] = {
            LEARNED: learned - base,
            "learned, a token": (learned - base) / tokens,
            "after, a token": learned / tokens,
            BASE: base / tokens,
            "base, summed": base,
            PLAIN: self._regressed(folds, told, {}),
            "length, language, base": self._regressed(
                folds, told, {one.id: one.base / one.tokens for _, one in found}
            ),
            "writer": np.array(believed),
        }
        self.times = drawn_times(len(names), draws=draws)

    def _regressed(
        self, folds: Sequence[FoldResult], told: Sequence[Decision], more: Mapping[str, float]
    ) -> Array:
        """Return the log-odds by a regression on the decisions of each fold's other people."""

        def features(each: Sequence[Decision]) -> Array:
            return np.array(
                [[*known_beforehand(one), *([more[one.id]] if more else [])] for one in each]
            )

        odds = np.zeros(len(self.decisions))
        for fold in folds:
            out = set(fold.held_out)
            others = [one for one in told if one.person not in out and (not more or one.id in more)]
            mine = self.folds == fold.fold
            asked = [one for one, ours in zip(self.decisions, mine, strict=True) if ours]
            taken = np.array([one.accepted for one in others])
            if len(set(taken.tolist())) == 2:
                odds[mine] = fitted(features(others), taken, features(asked))
        return odds

    def scored(self, name: str, values: Array | None = None) -> tuple[Scored, Array]:
        """Return a score with what was good, where both are known, and the values there.

        `values` are how much of each decision's suggestion stands, NaN where that is not known.
        """
        known = ~np.isnan(self.scores[name])
        if values is not None:
            known &= ~np.isnan(values)
        good = self.taken if values is None else values >= STANDING
        shown = self.lengths if values is None else values
        rows = np.flatnonzero(known)
        return Scored(
            self.people[rows], self.folds[rows], good[rows], self.scores[name][rows]
        ), shown[rows]

    def accepted(self) -> dict[str, Any]:
        """Return how each score tells taken from turned down."""
        table = {}
        for name in self.scores:
            told, lengths = self.scored(name)
            table[name] = {
                "in_folds": area(told, self.times, within_people=False),
                "within_people": area(told, self.times, within_people=True),
                "spearman_length": rank_correlation(told, lengths, self.times[:0]).value,
            }
        ours, _ = self.scored(LEARNED)
        ahead = {
            name: area_gain(ours, self.scores[name], self.times, within_people=False)
            for name in (BASE, PLAIN)
        }
        return {"scores": table, "learned_ahead_of": ahead}

    def kept(self) -> dict[str, Any]:
        """Return how each score tells what stood later, of what was taken, by horizon."""
        table: dict[str, Any] = {}
        for horizon in HORIZONS:
            values = np.array([one.kept.get(horizon, np.nan) for one in self.decisions])
            if np.isnan(values).all():
                continue
            scores = {}
            for name in self.scores:
                told, stands = self.scored(name, values)
                scores[name] = {
                    "in_folds": area(told, self.times, within_people=False),
                    "spearman": rank_correlation(told, stands, self.times),
                }
            table[horizon] = {
                "decisions": int((~np.isnan(values)).sum()),
                "kept": int((values >= STANDING).sum()),
                "scores": scores,
            }
        return table


def report(
    told: Sequence[Decision], folds: Sequence[FoldResult], *, draws: int = DRAWS
) -> dict[str, Any]:
    """Return all that is shown, of the folds that are there."""
    together = Together(told, folds, draws)
    return {
        "people": len(set(together.people.tolist())),
        "decisions": len(together.decisions),
        "accepted": int(together.taken.sum()),
        "folds": [one.fold for one in folds],
        "accept": together.accepted(),
        "keep": together.kept(),
        "training": [
            {
                "fold": one.fold,
                "taught": one.taught,
                "fates": one.fates,
                "learning_seconds": one.learning_seconds,
                "seconds": one.seconds,
                "metrics": {
                    name: value
                    for name, value in sorted(one.metrics.items())
                    if name.startswith("lane/kto") or name in ("steps", "grad_norm", "drift/kl")
                },
            }
            for one in folds
        ],
    }


def shown(value: Measured) -> str:
    """Return a number with its interval.

    >>> shown(Measured(0.5, 0.4, 0.62))
    '0.50 (0.40 to 0.62)'
    """
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


def table(found: Mapping[str, Any]) -> str:
    """Return the report as Markdown."""
    heads = ["score of a suggestion", "taken: area in folds", "within a person"]
    heads += [f"kept at {horizon} s: area" for horizon in HORIZONS]
    heads += [f"rank correlation with what stands at {HORIZONS[-1]} s"]
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for name, one in found["accept"]["scores"].items():
        keep = [found["keep"].get(horizon, {}).get("scores", {}).get(name) for horizon in HORIZONS]
        cells = [SCORES[name], shown(one["in_folds"]), shown(one["within_people"])]
        cells += [shown(each["in_folds"]) if each else "" for each in keep]
        cells += [shown(keep[-1]["spearman"]) if keep[-1] else ""]
        lines.append(f"| {' | '.join(cells)} |")
    ahead = found["accept"]["learned_ahead_of"]
    count = (
        f"{found['decisions']} decisions of {found['people']} people, {found['accepted']} taken."
    )
    gains = f"Learned less base: {shown(ahead[BASE])}; less {PLAIN}: {shown(ahead[PLAIN])}."
    return "\n".join([*lines, "", f"{count} {gains}"])


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draw the areas with their intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels = {
        "taken by people unseen": {n: s["in_folds"] for n, s in found["accept"]["scores"].items()}
    }
    last = found["keep"].get(HORIZONS[-1])
    if last:
        kept = {n: s["in_folds"] for n, s in last["scores"].items()}
        panels[f"kept after {HORIZONS[-1]} s, of what was taken"] = kept
    figure: Any
    figure, axes = pyplot.subplots(
        1,
        len(panels),
        figsize=(4.6 * len(panels), 2.8),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for axis, (title, areas) in zip(axes[0], panels.items(), strict=True):
        for place, (name, one) in enumerate(areas.items()):
            colour = "tab:blue" if name.startswith((LEARNED, "after")) else "tab:gray"
            axis.plot([one.low, one.high], [place, place], color=colour)
            axis.plot([one.value], [place], "o", color=colour)
        axis.axvline(0.5, color="black", linewidth=0.6, linestyle=":")
        axis.set_yticks(range(len(areas)), list(areas), fontsize=7)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("area under the ROC curve, 95 % by person", fontsize=7)
        axis.tick_params(axis="x", labelsize=7)
    axes[0][0].invert_yaxis()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
