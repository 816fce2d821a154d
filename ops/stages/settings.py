"""Rollout settings: how a candidate meets people."""

import msgspec

from ..statistics.guardrail import GuardrailSettings
from ..statistics.look_settings import LookSettings
from ..statistics.metric import MetricSettings, harm_alphas
from .mismatch_settings import MismatchSettings
from .shadow_settings import ShadowSettings
from .watch_settings import WatchSettings

DAY = 86400.0
FEEDBACK_MARGIN = 0.05
"""Relative drop of the feedback rate that a promotion must exclude where no metric is named."""


class RolloutSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a candidate meets people. Times in seconds, shares of users in [0, 1]."""

    steps: tuple[float, ...] = (0.01, 0.05, 0.25, 0.45)
    """Share of the candidate, step by step; the concurrent control always has the same. Of everybody
    but the holdout."""
    anchor_share: float = 0.02
    """Long-term holdout: share of users who stay on v0 and out of every experiment, always the same
    ones, so that slow loss through many small steps is seen."""
    step_users: int = 20
    """Users per variant with a reward, since the start, that every step but the last waits for; at
    least two, for there is no comparison of fewer."""
    step_seconds: float = 600.0
    """Least time in every step; covers the delay of rewards."""
    min_users: int = 100
    """Users per variant before a promotion."""
    min_days: int = 0
    """Whole days before a promotion: 7 see a week through, 0 asks for none. A day is 24 hours from
    the canary's first answer on; it counts where both variants answered in it and its answers do."""
    margin: float = 0.02
    """Promoted once shown to be less than this much worse than the control, in reward; relative, so
    0.02 is 2 % of the control's. Used where no metric is named."""
    alpha_promote: float = 0.05
    """Probability, over all looks, to promote a candidate that is worse by the margin."""
    planned_users: int = 5000
    """Users per variant at which the intervals are tightest; about (4 sd / margin) squared."""
    gate_seconds: float = 600.0
    """Time from offer to canary: loading and proving."""
    deadline_seconds: float = 21_600.0
    """Greatest time for all steps of the canary together: then it ends without blame."""
    bake_seconds: float = 7200.0
    """Time after promotion in which late evidence may still take it back; longer than an answer's
    horizon, or nothing that was served since would count. 0 is no bake at all."""
    bake_share: float = 0.10
    """Share of users who stay on the previous champion meanwhile, as the control; as many are
    counted on the new one. No more than the last step's."""
    linger_seconds: float = 60.0
    """How long a version that lost its users stays loaded, for requests under way."""
    guardrail: GuardrailSettings = GuardrailSettings()
    """Watched in every stage."""
    shadow: ShadowSettings = ShadowSettings()
    """Mirrored requests before the first step; off where its share is 0."""
    watch: WatchSettings = WatchSettings()
    """Drift of behaviour while the reward is not down."""
    mismatch: MismatchSettings = MismatchSettings()
    """Learner against engine, on what one version served."""
    metric: tuple[MetricSettings, ...] = ()
    """What is compared, each with its goal; none takes reward, feedback rate, errors and cut-offs."""

    @property
    def metrics(self) -> tuple[MetricSettings, ...]:
        """Return what is compared: the named metrics, or those of margin and guardrail."""
        if self.metric:
            return self.metric
        guards = self.guardrail
        return (
            MetricSettings(
                name="reward",
                kind="non-inferior",
                margin=self.margin,
                tolerance=guards.harm_tolerance,
                alpha_share=4.0,
            ),
            MetricSettings(
                name="feedback_rate",
                kind="non-inferior",
                margin=max(self.margin, FEEDBACK_MARGIN),
                alpha_share=2.0,
                on_harm="hold",
            ),
            MetricSettings(name="error_rate", allowance=guards.max_error_share),
            MetricSettings(name="cut_off_rate", allowance=guards.max_empty_share),
        )

    @property
    def looks(self) -> LookSettings:
        """Return the error probabilities and sizes of the tests."""
        guards = self.guardrail
        return LookSettings(
            alpha_harm=guards.alpha_harm,
            harm_users=guards.harm_users,
            harm_planned_users=guards.harm_planned_users,
            alpha_promote=self.alpha_promote,
            promote_users=self.min_users,
            promote_planned_users=self.planned_users,
        )

    def share_of(self, step: int) -> float:
        """Return the candidate's share in a step; the last one's where settings lost a step."""
        return self.steps[min(step, len(self.steps) - 1)]

    def check_horizon(self, seconds: float) -> None:
        """Refuse times within which no answer counts; `seconds` is the age at which one does.

        Raises ValueError naming the field.
        """
        if self.deadline_seconds <= seconds:
            raise ValueError(
                f"rollout.deadline_seconds is {self.deadline_seconds:g}, and an answer counts after"
                f" {seconds:g}: every version would run out of time before any does"
            )
        if self.min_days and self.deadline_seconds <= self.min_days * DAY + seconds:
            raise ValueError(
                f"rollout.min_days is {self.min_days}, and an answer counts after {seconds:g} s:"
                f" that does not fit into rollout.deadline_seconds, {self.deadline_seconds:g}, so"
                " nothing could be promoted"
            )
        if 0 < self.bake_seconds <= seconds:
            raise ValueError(
                f"rollout.bake_seconds is {self.bake_seconds:g}, and an answer counts after"
                f" {seconds:g}: no answer since the promotion would count; 0 is no bake at all"
            )

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.steps, self.steps[1:], strict=False))
        if not self.steps or not rising or self.steps[0] <= 0:
            raise ValueError(f"steps is {self.steps}; it must be shares above 0 that rise")
        if 2 * self.steps[-1] > 1:
            raise ValueError(
                f"steps ends at {self.steps[-1]}: candidate and an equal control must fit into 1"
            )
        if not 0 <= self.anchor_share < 1:
            raise ValueError(f"anchor_share is {self.anchor_share}; it must lie in [0, 1)")
        if not 0 < self.bake_share <= 0.5:
            raise ValueError(f"bake_share is {self.bake_share}; it must lie above 0 and up to 0.5")
        if not 0 < self.alpha_promote < 1 or not 0 < self.margin < 1:
            raise ValueError("alpha_promote and margin must lie between 0 and 1")
        if self.metric and not any(metric.goal for metric in self.metric):
            raise ValueError(
                "metric: none is superior or non-inferior, so nothing could be promoted"
            )
        harm_alphas(self.metrics, self.guardrail.alpha_harm)
        if min(self.min_users, self.planned_users) < 2 or self.step_users < 0:
            raise ValueError("min_users and planned_users must be at least 2, step_users 0")
        if len(self.steps) * self.step_seconds > self.deadline_seconds:
            raise ValueError(
                f"step_seconds is {self.step_seconds:g} and steps has {len(self.steps)}: they do not"
                f" fit into deadline_seconds, {self.deadline_seconds:g}, so nothing could be promoted"
            )
        if self.min_days < 0 or (self.min_days and self.deadline_seconds <= self.min_days * DAY):
            raise ValueError(
                f"min_days is {self.min_days}: it must be at least 0 and so many days be shorter than"
                f" deadline_seconds, {self.deadline_seconds:g}, or nothing could be promoted"
            )
        times = (self.step_seconds, self.gate_seconds, self.deadline_seconds, self.bake_seconds)
        if min(*times, self.linger_seconds) < 0:
            raise ValueError(
                "step_, gate_, deadline_, bake_ and linger_seconds must not be below 0"
            )
