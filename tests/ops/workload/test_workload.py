"""Workload: noise, correlation, costs and the choice, each by hand."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from rlwd.ops.stages.settings import RolloutSettings
from rlwd.ops.workload.costs import CostFacts, Workload, cost_of
from rlwd.ops.workload.horizon import horizon_of
from rlwd.ops.workload.pace import (
    USUAL_CORRELATION,
    PaceFacts,
    PaceSettings,
    correlation_of,
    pace_of,
)
from rlwd.ops.workload.people_and_sessions import PersonTally, SessionTally
from rlwd.ops.workload.settings import LoraCosts, ProfileSettings
from rlwd.ops.workload.tally import SeenTime, SegmentTally
from rlwd.ops.workload.verdicts import DecisiveNames, verdicts
from rlwd.ops.workload.verification import AlikeFacts, verification_facts
from rlwd.ops.workload.volume import volume_of
from rlwd.rewards.spec.verification import TrustProfile
from rlwd.streams.answers.observed import EarlierCount, ObservedAct, ObservedAnswer, ObservedSignal

WEEK = SeenTime(0.0, 7 * 86400.0)
NOBODY = AlikeFacts()


def person(*rewards: float, days: int = 1) -> PersonTally:
    """Return somebody who decided so, on these days (bits)."""
    squares = sum(one * one for one in rewards)
    return PersonTally(days, days, len(rewards), sum(rewards), squares)


def pace(**more: Any) -> PaceFacts:
    """Return a pace of a thousand decided answers a day."""
    known: dict[str, Any] = {
        "decided_day": 1000.0,
        "fill_days": 0.256,
        "users_day": 500.0,
        "answers_per_user": 2.0,
        "correlation": 0.1,
        "new_share": 0.5,
        "tell_days": 3.0,
        "tell_users": 700.0,
        "promote_days": 2.0,
        "harm_days": 1.0,
        "smallest_lift": 0.01,
        "floor_days": 0.05,
        "deadline_days": 0.25,
        "why": "",
    }
    return PaceFacts(**{**known, **more})


def test_one_minded_people_have_correlated_outcomes() -> None:
    """The ANOVA estimate: 0.99 at most where each is of one mind, none where all are alike, else the usual."""
    assert correlation_of([person(1.0, 1.0), person(0.0, 0.0)] * 20) == 0.99
    assert correlation_of([person(1.0, 0.0)] * 20) == 0.0
    assert correlation_of([person(1.0)] * 50) == USUAL_CORRELATION
    # MSB 0.2026, MSW 0.15, two answers each: (0.2026 - 0.15) / (0.2026 + 0.15) = 0.149.
    mixed = [*[person(1.0, 1.0)] * 20, *[person(1.0, 0.0)] * 12, *[person(0.0, 0.0)] * 8]
    between = sum(2 * (one.total / 2 - 0.65) ** 2 for one in mixed) / 39
    within = 12 * 0.5 / 40
    assert correlation_of(mixed) == pytest.approx((between - within) / (between + within))


def test_a_week_of_a_version_costs_its_parts() -> None:
    """LoRA: 1,024 answers of 500 tokens in four passes on one GPU every two days, worked out by hand."""
    work = Workload(tokens_decided=500.0, tokens_week=9e6, value_week=10_000.0)
    settings = ProfileSettings()
    terms = {"episodes": 256, "at_most": 1024, "passes": 4, "kept": 8}
    lora = cost_of("lora", work, pace(), settings, **terms)
    assert (lora.version_days, lora.waits_for, lora.version_answers) == (2.0, "users", 1024.0)
    assert lora.version_gpu_hours == pytest.approx(1024 * 500 * 4 / 9000 / 3600 + 0.1)
    assert lora.version == pytest.approx(3.0 * (lora.version_gpu_hours or 0))
    assert lora.week_serving == pytest.approx(9e6 / 2500 / 3600 * 0.1 * 3.0)
    assert lora.week_storage == pytest.approx(0.1 * 8 * 0.023 * 12 / 52)
    assert lora.week_engineers == 1000.0
    assert lora.break_even_lift == pytest.approx((lora.week or 0) / 10_000)
    # A billion tokens at half a million a day are there after 2,000 days.
    full = cost_of("full", work, pace(), settings, **terms)
    assert (full.version_days, full.week, full.pays) == (None, None, None)
    few = msgspec.structs.replace(settings, full=msgspec.structs.replace(settings.full, tokens=5e6))
    full = cost_of("full", work, pace(), few, **terms)
    assert (full.version_days, full.waits_for, full.version_answers) == (10.0, "answers", 10_000.0)
    assert full.week_serving == pytest.approx(2 * 168 * 3.0)


def test_a_version_takes_as_long_as_its_gpus_train_on_it() -> None:
    """A GPU of 20 tokens a second: 256 answers of 500 tokens in four passes take 7.1 hours, and two days 1,728
    answers; of one token a second six days, and of a tenth no version comes about in time."""
    work = Workload(tokens_decided=500.0, tokens_week=9e6, value_week=10_000.0)
    terms = {"episodes": 256, "at_most": 9000, "passes": 4, "kept": 8}

    def cost(tokens_second: float, gpus: int = 1) -> CostFacts:
        lora = LoraCosts(gpus=gpus, tokens_second=tokens_second, version_hours=0.0)
        return cost_of("lora", work, pace(), ProfileSettings(lora=lora), **terms)

    assert (cost(20.0).version_days, cost(20.0).waits_for) == (2.0, "users")
    assert cost(20.0).version_answers == pytest.approx(2 * 86_400 * 20 / 2000)
    assert cost(1.0).version_days == pytest.approx(256 * 2000 / 86_400)
    assert cost(1.0).waits_for == "training"
    assert cost(1.0).version_answers == pytest.approx(256)
    # What is paid for are the hours that there are.
    assert cost(1.0).week_training == pytest.approx(168 * 3.0)
    assert cost(1.0, gpus=4).waits_for == "users"
    assert (cost(0.1).version_days, cost(0.1).week) == (None, None)


def test_work_that_costs_time_pays_for_nothing() -> None:
    """Where taken answers are worth less than nothing no lift breaks even, and learning does not pay."""
    work = Workload(tokens_decided=500.0, tokens_week=9e6, value_week=-10_000.0)
    terms = {"episodes": 256, "at_most": 1024, "passes": 4, "kept": 8}
    lora = cost_of("lora", work, pace(), ProfileSettings(), **terms)
    assert (lora.break_even_lift, lora.pays) == (None, False)


def test_a_half_without_sessions_says_nothing_of_growth() -> None:
    """Of a week whose last days brought none nobody knows whether sessions grew."""
    tally = SegmentTally(answers=3)
    tally.sessions["t", "a"] = SessionTally(first=0.0, answers=3)
    assert horizon_of(tally, WEEK, 60.0).growth_turns is None
    tally.sessions["t", "b"] = SessionTally(first=6 * 86400.0, answers=6)
    assert horizon_of(tally, WEEK, 60.0).growth_turns == 1.0


def test_what_is_not_counted_costs_nothing_it_claims() -> None:
    """Without tokens nobody can say when full weights have enough; without a value nothing pays."""
    work = Workload(tokens_decided=0.0, tokens_week=0.0, value_week=None)
    terms = {"episodes": 256, "at_most": 1024, "passes": 4, "kept": 8}
    full = cost_of("full", work, pace(), ProfileSettings(), **terms)
    assert full.version_days is None
    lora = cost_of("lora", work, pace(), ProfileSettings(), **terms)
    assert lora.week is not None
    assert (lora.break_even_lift, lora.pays, lora.net_week) == (None, None, None)
    nothing = Workload(tokens_decided=0.0, tokens_week=0.0, value_week=0.0)
    lora = cost_of("lora", nothing, pace(), ProfileSettings(), **terms)
    assert (lora.break_even_lift, lora.pays, lora.net_week) == (None, False, -(lora.week or 0))


def test_noise_is_by_the_best_that_is_known() -> None:
    """Later words first, then what was taken back, then the spec's profile, then nothing."""
    trust = {"accepted": TrustProfile(veracity=0.9)}
    tally = SegmentTally(answers=100, decided=100, deciding=Counter(accepted=100))
    assert verification_facts(tally, {}, NOBODY).noise_by == "unknown"
    told = verification_facts(tally, trust, NOBODY)
    assert told.noise == pytest.approx(0.1)
    assert told.noise_by == "spec"
    tally.first_taken, tally.taken_back = 60, 3
    told = verification_facts(tally, trust, NOBODY)
    assert (told.noise, told.noise_by) == (0.05, "taken back")
    tally.later = Counter({("accepted", "kept", True): 30, ("accepted", "kept", False): 10})
    told = verification_facts(tally, trust, NOBODY)
    assert (told.noise, told.noise_by) == (0.25, "later words")


def test_people_are_counted_by_days_and_by_weeks() -> None:
    """Of ten days the first week counts, of three weeks each; a recorded tenth stands for ten times as many."""
    tally = SegmentTally(answers=30)
    for name, days in (("a", (0, 1)), ("b", (8,)), ("c", (2, 16))):
        tally.people[name].days = sum(1 << day for day in days)
    told = volume_of(tally, SeenTime(0.0, 10 * 86400.0), 0.1, None)
    assert (told.users, told.users_week) == (3, 20.0)
    assert told.users_day == pytest.approx(5 / 10 * 10)
    told = volume_of(tally, SeenTime(0.0, 21 * 86400.0), 1.0, EarlierCount(20, 3))
    assert told.users_week == pytest.approx((2 + 1 + 1) / 3)
    assert (told.growth_answers, told.growth_users) == (0.5, 0.0)


def test_an_act_points_as_its_kind_and_number_say() -> None:
    """Kept and rated by a half, an edit by what it left, a tool's fault against, an outage neither way."""
    acts = [
        ObservedSignal("accepted"),
        ObservedSignal("kept", fraction=0.2, horizon_seconds=60.0),
        ObservedSignal("edited"),
        ObservedSignal("rated", value=0.5),
        ObservedSignal("tool_result", error_class="provider_error"),
        ObservedSignal("tool_result", error_class="invalid_arguments"),
        ObservedSignal("judged", direction="neutral"),
        ObservedSignal("measured", value=90.0),
    ]
    told = tuple(ObservedAct(act, float(at), True, True) for at, act in enumerate(acts))
    answer = ObservedAnswer(
        *("g", 0.0, "t", "s", "reply", "u", False, "", 1.0, 5, 9, 0, 1.0, None, "waiting", 1),
        told,
    )
    names = DecisiveNames(("accepted", "edited", "tool_result:invalid_arguments", "kept@300"))
    found = [(one.kind, one.taken, one.decisive) for one in verdicts(answer, names, 0.4)]
    assert found == [
        ("accepted", True, True),
        ("kept", False, False),
        ("edited", False, True),
        ("rated", True, False),
        ("tool_result", False, True),
    ]


def test_a_pace_that_cannot_be_planned_says_why() -> None:
    """Too few people, nothing to lift, or answers that count later than one would wait."""
    asked = PaceSettings(
        episodes=256, at_most=1024, rollout=RolloutSettings(), lift=0.02, patience_days=28.0
    )
    tally = SegmentTally(decided=29, reward=20.0)
    tally.people["a"] = person(*[1.0] * 29)
    assert "29 decided answers" in pace_of(tally, WEEK, 1.0, asked, 60.0).why
    tally = SegmentTally(decided=40, reward=40.0)
    tally.people["a"] = person(*[1.0] * 40)
    assert "mean reward is 1" in pace_of(tally, WEEK, 1.0, asked, 60.0).why
    tally.reward = 20.0
    assert "counts after 30 days" in pace_of(tally, WEEK, 1.0, asked, 30 * 86400.0).why
