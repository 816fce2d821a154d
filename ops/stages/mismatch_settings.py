"""Mismatch settings: how far engine and learner may differ on what the same weights served."""

from collections.abc import Mapping
from typing import Literal

import msgspec

ALL, BY = "mismatch", "mismatch/by/"


class MismatchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[rollout.mismatch]`: bars on the learner's log-probabilities against the engine's."""

    k3: float = 0.01
    """Mean of rho - 1 - log rho over tokens, an estimate of KL(engine || learner); rho is the learner's
    probability over the engine's. Of the published filters on whole answers the widest bar."""
    chi2: float = 1.0
    """Mean of rho squared, less 1."""
    mean_low: float = 0.5
    """Least mean of rho."""
    mean_high: float = 2.0
    """Greatest mean of rho."""
    beyond: float = 0.02
    """Share of tokens that differ by more than `learner.mismatch_difference`."""
    tokens: int = 1000
    """Tokens of answers by the very weights that are learned from, below which there is no alarm."""
    on_alarm: Literal["hold", "report"] = "hold"
    """Whether an alarm holds the rollout of versions that were trained on it, or is only named."""

    def passed(self, metrics: Mapping[str, float], name: str = ALL) -> str:
        """Return the bars that an update's `NAME/…` pass, in words; empty for none, or too few tokens.

        >>> MismatchSettings().passed({"mismatch/tokens": 5000, "mismatch/k3": 0.25})
        'k3 0.25 (bar 0.01)'
        """
        if not self.measured(metrics, name):
            return ""
        bars = (
            ("k3", "k3", 0.0, self.k3),
            ("chi2", "chi-squared", -1.0, self.chi2),
            ("mean_ratio", "mean weight", self.mean_low, self.mean_high),
            ("beyond", "share of tokens beyond", 0.0, self.beyond),
        )
        said = []
        for key, words, low, high in bars:
            value = metrics.get(f"{name}/{key}")
            if value is not None and not low <= value <= high:
                said.append(f"{words} {value:.3g} (bar {high if value > high else low:g})")
        return ", ".join(said)

    def measured(self, metrics: Mapping[str, float], name: str = ALL) -> bool:
        """Return whether there were tokens enough to say."""
        return metrics.get(f"{name}/tokens", 0.0) >= self.tokens

    def alarms(self, metrics: Mapping[str, float]) -> dict[str, str]:
        """Return what is wrong by an update's metrics: in all (`mismatch`), and at one engine (`mismatch/by/…`)."""
        engines = [
            key.removesuffix("/tokens")
            for key in sorted(metrics)
            if key.startswith(BY) and key.endswith("/tokens")
        ]
        return {name: said for name in (ALL, *engines) if (said := self.passed(metrics, name))}

    def alarm(self, metrics: Mapping[str, float]) -> str:
        """Return what `alarms` does in words; empty where nothing is wrong."""
        return "; ".join(
            said if name == ALL else f"{name.removeprefix(BY)}: {said}"
            for name, said in self.alarms(metrics).items()
        )
