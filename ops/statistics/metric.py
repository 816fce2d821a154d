"""Metric: what a candidate and its control are compared by, and what must be shown of it."""

import re
from typing import Literal

import msgspec


class MetricDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """How a metric is computed from the numbers of an answer."""

    value: str
    """Number of an answer that is added up, or whose quantile is taken."""
    over: str = ""
    """Number of an answer that it is divided by; empty: the number of answers that have it."""
    quantile: float | None = None
    """Quantile of the control that the candidate's answers are held against; None is a mean."""
    matured: bool = False
    """Whether an answer counts only once its horizon has passed."""
    bounded: bool = False
    """Whether every value lies in [0, 1]."""
    direction: Literal["higher", "lower"] = "higher"
    """Which way is better."""


LESS_IS_BETTER = (
    *("asks", "refuses", "invalid_calls", "one_tool", "reasoning_in_comments", "repetition"),
    *("copies_request", "breaks_off", "digits"),
)
"""Behaviours that are a share, by the names that `rewards/behaviours` has for them."""
KNOWN: dict[str, MetricDefinition] = {
    "reward": MetricDefinition(value="reward", matured=True, bounded=True),
    "feedback_rate": MetricDefinition(value="decided", matured=True, bounded=True),
    "keep_rate": MetricDefinition(value="kept", matured=True, bounded=True),
    "error_rate": MetricDefinition(value="failed", bounded=True, direction="lower"),
    "cut_off_rate": MetricDefinition(value="cut_off", bounded=True, direction="lower"),
    "latency_p50": MetricDefinition(value="latency", quantile=0.5, direction="lower"),
    "latency_p95": MetricDefinition(value="latency", quantile=0.95, direction="lower"),
    "length": MetricDefinition(value="tokens", direction="lower"),
    "session_tokens": MetricDefinition(value="tokens", over="first_turn", direction="lower"),
    "session_tool_calls": MetricDefinition(
        value="tool_calls", over="first_turn", direction="lower"
    ),
    "cached_prompt_share": MetricDefinition(
        value="cached_tokens", over="prompt_tokens", bounded=True
    ),
    "unfinished_todos": MetricDefinition(value="unfinished_todos", direction="lower"),
    "likeness": MetricDefinition(value="likeness", bounded=True),
    **{
        name: MetricDefinition(value=name, bounded=True, direction="lower")
        for name in LESS_IS_BETTER
    },
}
"""Metrics with a meaning of their own. `first_turn` is 1 for a session's first answer, 0 after it."""


class MetricSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[rollout.metric]]`. Margins are relative to the control's value, so 0.02 is 2 % of it.

    Any number that an answer carries is a metric by its name, and so is one of the product's own with
    `own = true`; `NAME_p95` is its quantile. Where none stands, reward, feedback rate, errors and
    cut-offs are compared.
    """

    name: str
    """A name of `KNOWN`, of a number of an answer, or of such a number with `_pNN` behind it."""
    kind: Literal["superior", "non-inferior", "guard"] = "guard"
    """What a promotion must show: better by the margin, not worse by it, or nothing (a guard)."""
    margin: float = 0.02
    """Relative difference that a goal is tested against."""
    tolerance: float = 0.0
    """Relative loss that is not yet harm."""
    allowance: float = 0.0
    """Loss that is not yet harm, in the metric's unit, on top of the tolerance: for rare failures
    a share of so little is nothing. Not for quantiles."""
    direction: Literal["higher", "lower", ""] = ""
    """Which way is better; required where the name is not of `KNOWN`."""
    alpha_share: float = 1.0
    """Weight with which the metric takes its part of the alpha for harm."""
    own: bool = False
    """Whether the name is of a number of your product's own (`numbers` of an event, `measured` or
    `outcome` feedback). Until both variants have it nothing is promoted, a guard or not."""
    on_harm: Literal["rollback", "hold"] = "rollback"
    """What shown harm does: rolls back for cause, or keeps the rollout where it is."""

    def __post_init__(self) -> None:
        where = f"metric {self.name}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise ValueError(f"{where}: name must be of a-z, 0-9 and _")
        if self.name not in KNOWN and not self.direction:
            raise ValueError(f"{where}: direction is required; the name is none of {list(KNOWN)}")
        if self.name in KNOWN and self.own:
            raise ValueError(f"{where}: own is true, and {self.name} is rlwd's own metric")
        for name in ("margin", "tolerance"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{where}: {name} is {getattr(self, name)}; it must lie in [0, 1)")
        if self.kind == "non-inferior" and self.margin == 0:
            raise ValueError(f"{where}: margin is 0; nothing can be shown to be exactly as good")
        if not self.allowance >= 0 or (self.allowance and self.definition.quantile is not None):
            raise ValueError(f"{where}: allowance must be at least 0, and 0 for a quantile")
        if not self.alpha_share > 0:
            raise ValueError(f"{where}: alpha_share is {self.alpha_share}; it must be above 0")

    @property
    def definition(self) -> MetricDefinition:
        """How it is computed."""
        known = KNOWN.get(self.name)
        if known is None:
            quantile = re.fullmatch(r"(.+)_p(\d\d)", self.name)
            known = MetricDefinition(
                value=quantile[1] if quantile else self.name,
                quantile=int(quantile[2]) / 100 if quantile else None,
                # It may be told later than the answer, and later in one of the variants.
                matured=self.own,
            )
        if not self.direction:
            return known
        return msgspec.structs.replace(known, direction=self.direction)

    @property
    def goal(self) -> bool:
        """Whether a promotion needs it."""
        return self.kind != "guard"


DEFAULT_METRICS = (
    MetricSettings(name="reward", kind="non-inferior", margin=0.02, alpha_share=4.0),
    MetricSettings(
        name="feedback_rate", kind="non-inferior", margin=0.05, alpha_share=2.0, on_harm="hold"
    ),
    MetricSettings(name="error_rate", tolerance=0.1),
    MetricSettings(name="cut_off_rate", tolerance=0.1),
    MetricSettings(name="latency_p95", tolerance=0.25),
)
"""Used where the configuration names none; a guard whose number no answer carries says nothing.

A loss may hide in silence where those who would have rejected an answer leave it undecided. It is
at most the drop of the feedback rate, so that rate's margin bounds what a promotion may overlook."""


def harm_alphas(metrics: tuple[MetricSettings, ...], alpha: float) -> dict[str, float]:
    """Return each metric's part of the alpha for harm, by its share (Bonferroni).

    A false alarm in one metric is a false alarm of the rollout, so the parts add up to alpha. A
    promotion needs all goals at once, and each is tested at the whole alpha: a candidate that is
    worse by the margin in any of them passes with probability at most alpha (intersection-union
    test: Berger, Technometrics 24, 1982).

    Raises ValueError for a metric that is named twice.
    """
    names = [metric.name for metric in metrics]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"metric {name}: named twice")
    total = sum(metric.alpha_share for metric in metrics)
    return {metric.name: alpha * metric.alpha_share / total for metric in metrics}
