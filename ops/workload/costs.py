"""Costs of learning: of a version and of a week, by adapters and by full weights, beside what a lift brings."""

import math
from typing import Literal

import msgspec

from .pace import PaceFacts
from .settings import MethodCosts, ProfileSettings

HOURS_A_WEEK = 168.0
WEEKS_A_MONTH = 52 / 12
Method = Literal["lora", "full"]


class CostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one way of learning costs, in `profile.currency`. None where no version comes about."""

    version_days: float | None
    """Expected days a version: until its batch is there, is trained on, and the version promoted, whichever is
    longest."""
    waits_for: str
    """What takes the longest: answers, users, training or the least times; `nothing` where none comes about."""
    version_answers: float | None
    """DecidedRequest answers that a version is made of."""
    version_tokens: float | None
    """Tokens of them that the learner goes over, each pass anew."""
    version_gpu_hours: float | None
    """GPU hours of training a version."""
    version: float | None
    """Training a version."""
    week_training: float | None
    """Training, a week."""
    week_serving: float
    """What serving costs more than without learning, a week."""
    week_storage: float
    """Versions that are kept, a week."""
    week_engineers: float
    """People who see to it, a week."""
    week: float | None
    """All of it, a week."""
    break_even_lift: float | None
    """Relative lift at which a week's value pays for a week's cost; None where the value is not above 0, or not
    known."""
    pays: bool | None
    """Whether the hoped-for lift is above that; None where it is not known."""
    net_week: float | None
    """What the hoped-for lift brings in a week, less the cost."""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What the cost model needs to know of the work, a week, of all users."""

    tokens_decided: float
    """Tokens that the learner would go over of an answer that was decided on."""
    tokens_week: float
    """Tokens written."""
    value_week: float | None
    """Worth of the answers that people took; None where it is not known."""


def cost_of(
    method: Method,
    work: Workload,
    pace: PaceFacts,
    settings: ProfileSettings,
    *,
    episodes: int,
    at_most: int,
    passes: int,
    kept: int,
) -> CostFacts:
    """Return what a way of learning costs; `kept` are the versions whose weights are kept."""
    prices: MethodCosts = settings.lora if method == "lora" else settings.full
    days, waits_for = _period(prices, work, pace, episodes, passes, settings.patience_days)
    serving = _serving(prices, work, settings)
    storage = prices.version_gb * kept * settings.storage_gb_month / WEEKS_A_MONTH
    engineers = prices.engineers * settings.engineer_week
    answers = tokens = hours = None
    if days is not None:
        answers = pace.decided_day * days
        if method == "lora":
            # A sealed batch has no more; full weights take all that came.
            answers = min(answers, max(float(at_most), prices.tokens / max(work.tokens_decided, 1)))
        answers = min(answers, _trained_in(days, prices, work, passes))
        tokens = answers * work.tokens_decided * passes
        hours = tokens / prices.tokens_second / 3600 + prices.version_hours * prices.gpus
    version = None if hours is None else hours * settings.train_gpu_hour
    training = None if version is None or days is None else version * 7 / days
    week = None if training is None else training + serving + storage + engineers
    even, pays, net = _returns(week, work.value_week, settings.lift)
    return CostFacts(
        version_days=days,
        waits_for=waits_for,
        version_answers=answers,
        version_tokens=tokens,
        version_gpu_hours=hours,
        version=version,
        week_training=training,
        week_serving=serving,
        week_storage=storage,
        week_engineers=engineers,
        week=week,
        break_even_lift=even,
        pays=pays,
        net_week=net,
    )


def _returns(
    week: float | None, worth: float | None, lift: float
) -> tuple[float | None, bool | None, float | None]:
    """Return break-even lift, whether the lift pays, and what it leaves a week; None for what is unknown."""
    if week is None or worth is None:
        return None, None, None
    # Where nobody takes an answer, or it costs more than it saves, no relative lift brings anything.
    even = week / worth if worth > 0 else None
    return even, even is not None and even <= lift, worth * lift - week


def _period(
    prices: MethodCosts,
    work: Workload,
    pace: PaceFacts,
    episodes: int,
    passes: int,
    patience: float,
) -> tuple[float | None, str]:
    """Return the days that a version takes, and what it waits for."""
    if not pace.decided_day:
        return None, "nothing"
    tokens_day = pace.decided_day * work.tokens_decided
    fill = episodes / pace.decided_day
    if prices.tokens:
        # Where nobody counted tokens, nobody can say when there are so many.
        fill = max(fill, prices.tokens / tokens_day) if tokens_day else math.inf
    if pace.promote_days is None:
        return None, "nothing"
    least = max(episodes * work.tokens_decided, prices.tokens) * passes
    hours = least / _tokens_hour(prices) + prices.version_hours
    days, waits_for = max(
        (fill, "answers"),
        (pace.promote_days, "users"),
        (pace.floor_days, "least times"),
        (hours / 24, "training"),
    )
    return (days, waits_for) if days <= patience else (None, "nothing")


def _tokens_hour(prices: MethodCosts) -> float:
    """Return the tokens that all GPUs of a version train on in an hour."""
    return prices.gpus * prices.tokens_second * 3600


def _trained_in(days: float, prices: MethodCosts, work: Workload, passes: int) -> float:
    """Return how many decided answers the GPUs train on in so many days; inf where nobody counted tokens."""
    hours = max(0.0, days * 24 - prices.version_hours)
    tokens = work.tokens_decided * passes
    return hours * _tokens_hour(prices) / tokens if tokens else math.inf


def _serving(prices: MethodCosts, work: Workload, settings: ProfileSettings) -> float:
    hours = work.tokens_week / settings.serve_tokens_second / 3600
    extra = hours * prices.serve_overhead + prices.serve_gpus * HOURS_A_WEEK
    return extra * settings.serve_gpu_hour
