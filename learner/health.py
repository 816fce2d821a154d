"""Health: what an update's measurements say of learning, the bar of each, and what a person is asked to do.

One table: the page of a version and docs/health.md are made from it. Free of torch.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

LANE = "reward/lane/"
ESTIMATOR = re.compile(r"estimator/(\w+)/explained_variance")


class Signal(NamedTuple):
    """One measurement of an update."""

    name: str
    """In words."""
    metric: str
    """Its name among the update's metrics."""
    asks: str
    """What a person should do where it is beyond its bar; without one, what it is watched for."""
    low: float | None = None
    """Least that is well."""
    high: float | None = None
    """Most that is well."""
    ours: bool = False
    """Whether the bar is ours; the others are published (the page names where)."""

    @property
    def bar(self) -> str:
        """The bar in words.

        >>> Signal("mean weight", "m", "", 0.5, 2.0).bar
        '0.5 to 2'
        """
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"at least {self.low:g}"
        return "none" if self.high is None else f"at most {self.high:g}"

    def beyond(self, value: float) -> bool:
        """Return whether a value is beyond the bar."""
        under = self.low is not None and value < self.low
        return under or (self.high is not None and value > self.high)


_ENGINE = (
    "Check the engine's `--logprobs-mode`, dtype and weights: promotion waits (`rollout.mismatch`)."
)
MISMATCH_TOKENS = 1000
"""Tokens of the parent's own answers below which nothing is said of a mismatch (`rollout.mismatch.tokens`)."""
SIGNALS = (
    Signal("mismatch, k3", "mismatch/k3", _ENGINE, high=0.01),
    Signal("mismatch, chi-squared", "mismatch/chi2", _ENGINE, high=1.0),
    Signal("mismatch, mean weight", "mismatch/mean_ratio", _ENGINE, 0.5, 2.0),
    Signal("mismatch, share of tokens beyond", "mismatch/beyond", _ENGINE, high=0.02, ours=True),
    Signal(
        "staleness, k3",
        "staleness/k3",
        "Answers come from versions too far back: lower `learner.max_policy_age` or `batch.max_lead`.",
        high=0.1,
    ),
    Signal(
        "mean weight",
        "before/ratio/mean",
        "Lower `learner.max_policy_age`; where the mismatch is beyond its bar, see there first.",
        0.5,
        2.0,
    ),
    Signal(
        "effective sample size",
        "before/ratio/ess",
        "Few tokens decide the step: shrink the lag, or take a narrower `learner.trust_region`.",
        low=0.3,
    ),
    Signal(
        "tokens cut",
        "ratio/capped",
        "Many ratios pass the cap: lower `learner.max_policy_age`; where answers are fresh, `learner.passes`.",
        high=0.1,
        ours=True,
    ),
    Signal(
        "tokens masked",
        "ratio/masked",
        "The passes leave the trust region: lower `learner.learning_rate` or `learner.passes`.",
        high=0.3,
        ours=True,
    ),
    Signal(
        "advantage spread",
        "advantage/spread",
        "Rewards hardly differ: look at the reward spec (`rlwd rewards what-if`) before the learner.",
        low=0.05,
        ours=True,
    ),
    Signal(
        "negatives' share of the gradient",
        "advantage/negative_share",
        "What was turned down drives the step: lower `learner.negative_weight`, or `stale` as region.",
        high=0.8,
        ours=True,
    ),
    Signal(
        "KL to v0, nats a token",
        "after/kl/anchor",
        "The policy left its base: raise `learner.kl_weight`, or `rlwd rollback`.",
        high=0.05,
    ),
    Signal(
        "pull of the base",
        "kl/pull",
        "The base pulls as hard as the rewards (`kl_weight` times the KL, over the advantages' spread), and undoes what was learned: lower `learner.kl_weight`.",
        high=0.25,
        ours=True,
    ),
    Signal(
        "drift on the probe set, nats a token",
        "drift/kl",
        "How far it is from v0 on texts that stay the same (docs/staying.md).",
    ),
    Signal(
        "drift that it added, nats a token",
        "drift/kl_added",
        "What `learner.drift.version_kl` and `day_kl` count; set them by the first versions'.",
    ),
    Signal(
        "entropy, nats a token",
        "after/entropy",
        "Where it falls from version to version: a wider region on the side up, or a lower rate.",
    ),
    Signal(
        "answer length, tokens",
        "completion_tokens/mean",
        "Where it climbs: audit how reward goes with length (docs/behaviours.md has a bar on people's).",
    ),
)


class SignalReading(NamedTuple):
    """A signal of one version."""

    signal: Signal
    """Which."""
    value: float
    """What was measured."""
    beyond: bool
    """Whether that is beyond the bar."""


def readings(metrics: Mapping[str, float]) -> list[SignalReading]:
    """Return the signals that an update measured, and its lanes' rewards, in the order of the table."""
    known = [*SIGNALS]
    known += [
        Signal(
            f"reward, lane {name.removeprefix(LANE)}", name, "What the lane's answers were worth."
        )
        for name in sorted(metrics)
        if name.startswith(LANE)
    ]
    known += [
        Signal(
            f"explained by the estimator {found[1]}",
            name,
            "Share of the rewards' variance that it expected: of two, the higher needs fewer answers.",
        )
        for name in sorted(metrics)
        if (found := ESTIMATOR.fullmatch(name))
    ]
    few = metrics.get("mismatch/tokens", MISMATCH_TOKENS) < MISMATCH_TOKENS
    return [
        SignalReading(one, value, one.beyond(value) and not (few and one.asks == _ENGINE))
        for one in known
        if (value := metrics.get(one.metric)) is not None
    ]


def health_table() -> str:
    """Return the signals as docs/health.md has them."""
    rows = [
        f"| {one.name} | `{one.metric}` | {one.bar}{' (ours)' if one.ours else ''} | {one.asks} |"
        for one in SIGNALS
    ]
    return "\n".join(
        ["| signal | metric | bar | what it asks for |", "| --- | --- | --- | --- |", *rows]
    )
