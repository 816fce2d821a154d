"""Profiled segments: a tally with settings becomes figures and advice, as one document."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ...rewards.spec.spec import Spec
from ...streams.answers.observed import EarlierCount
from .advice import advise
from .costs import CostFacts, Method, Workload, cost_of
from .horizon import horizon_of
from .levels import levels_of
from .pace import PaceFacts, PaceSettings, pace_of
from .reasons import Figures
from .settings import ProfileSettings
from .tally import SeenTime, SegmentTally
from .verification import AlikeFacts, verification_facts
from .volume import volume_of
from .worth import ValueFacts, value_of


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """All but the answers that a profile depends on."""

    spec: Spec
    """The reward spec."""
    settings: ProfileSettings
    """Prices, values and bars."""
    pace: PaceSettings
    """What a version waits for."""
    passes: int
    """Passes that the learner makes over a batch."""
    kept: int
    """Versions whose weights are kept."""
    horizon_seconds: float | None
    """Age at which an answer counts in a comparison; None takes the spec's `decision`."""


def figures_of(
    segment: str,
    tally: SegmentTally,
    seen: SeenTime,
    terms: Terms,
    alike: AlikeFacts,
    worth: float | None,
    before: EarlierCount | None,
) -> Figures:
    """Return all figures of a segment; `worth` is what a setting says of a taken answer.

    `before` is what a time as long had before, None where that is not known.
    """
    settings, wait = terms.settings, terms.spec.decision_seconds(segment)
    counts_after = terms.horizon_seconds if terms.horizon_seconds is not None else wait
    volume = volume_of(tally, seen, settings.recorded, before)
    value = value_of(tally, settings, worth, seen.days / 7)
    checked = verification_facts(tally, terms.spec.trust, alike)
    horizon = horizon_of(tally, seen, wait)
    pace = pace_of(tally, seen, settings.recorded, terms.pace, counts_after)
    work = _workload(tally, seen, settings, value)
    return Figures(
        seen.days,
        volume,
        value,
        checked,
        horizon,
        levels_of(volume, value, checked, horizon, settings.levels, seen.days),
        pace,
        work,
        _cost("lora", work, pace, terms),
        _cost("full", work, pace, terms),
        settings,
    )


def _cost(method: Method, work: Workload, pace: PaceFacts, terms: Terms) -> CostFacts:
    return cost_of(
        method,
        work,
        pace,
        terms.settings,
        episodes=terms.pace.episodes,
        at_most=terms.pace.at_most,
        passes=terms.passes,
        kept=terms.kept,
    )


def _workload(
    tally: SegmentTally, seen: SeenTime, settings: ProfileSettings, value: ValueFacts
) -> Workload:
    weeks = max(seen.days, 1.0) / 7 * settings.recorded
    decided = [one for one in tally.sessions.values() if one.decided]
    count = sum(one.decided for one in decided)
    return Workload(
        tokens_decided=sum(one.tokens for one in decided) / count if count else 0.0,
        tokens_week=tally.written / weeks,
        value_week=None if value.of_answer is None else value.of_answer * tally.taken / weeks,
    )


def segment_document(figures: Figures) -> dict[str, Any]:
    """Return a segment's figures and what they argue for, as JSON has it."""
    whole: Mapping[str, Any] = {
        "advice": advise(figures),
        "levels": figures.levels,
        "volume": figures.volume,
        "value": figures.value,
        "verification": figures.verification,
        "horizon": figures.horizon,
        "pace": figures.pace,
    }
    week, lift = figures.work.value_week, figures.settings.lift
    return {name: msgspec.to_builtins(one) for name, one in whole.items()} | {
        "cost": {
            "value_week": week,
            "lift": lift,
            "lift_week": None if week is None else week * lift,
            "lora": msgspec.to_builtins(figures.lora),
            "full": msgspec.to_builtins(figures.full),
        }
    }
