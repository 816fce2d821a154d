"""Profile document: every segment's figures, what they argue for, and all of them together, as JSON has it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ...ops.workload.pace import PaceSettings
from ...ops.workload.profiled import Terms, figures_of, segment_document
from ...ops.workload.reasons import Figures
from ...ops.workload.verification import AlikeFacts, together
from ...rewards.spec.spec import Spec
from ...streams.answers.observed import EarlierCount
from ..config import Config
from .alike_requests import alike_requests
from .read_week import Week, read_week

ALL = "all"
"""Name of all segments together; where one is named so, it stands among the segments."""

LOOKED_AT = 20_000
"""Requests of all segments that are compared: their records are read one by one."""


def profile_document(
    place: Path | str, policy: str, since: float, until: float, terms: Terms, told: str = ""
) -> dict[str, Any]:
    """Return the profile of the answers of a time; `place` is a state database, which is only read.

    Raises ValueError where there is none, or it holds no answer of that time; `told` is what it is called
    there, its own name where empty.
    """
    week = read_week(place, policy, since, until, terms.spec, told)
    settings = terms.settings
    most = max(LOOKED_AT // len(week.segments), 500)
    alike = {name: alike_requests(place, one, most) for name, one in week.segments.items()}
    figures = {
        name: figures_of(
            name,
            one,
            week.seen,
            terms,
            alike[name],
            settings.worth_of(name),
            _of(week.before, name),
        )
        for name, one in week.segments.items()
        if one.answers
    }
    whole = _whole(week, terms, together(alike.values()), _worth_of(figures))
    return {
        "policy": policy,
        "spec": terms.spec.version,
        "begin": _time(week.seen.begin),
        "end": _time(week.seen.end),
        "days": week.seen.days,
        "answers": week.whole.answers,
        "currency": settings.currency,
        "recorded": settings.recorded,
        "lift": settings.lift,
        "unmatched": sorted(settings.segments.keys() - figures.keys()),
        "segments": {name: segment_document(one) for name, one in figures.items()},
        ALL: segment_document(whole) if week.whole.answers else None,
    }


def _whole(week: Week, terms: Terms, alike: AlikeFacts, worth: float | None) -> Figures:
    """Return the figures of all segments together, whose worth is that of the segments or not known."""
    settings = msgspec.structs.replace(terms.settings, person_hour=None)
    own = msgspec.structs.replace(terms, settings=settings)
    # People of several segments are counted in each: how many more there are in all is not known.
    found = figures_of("", week.whole, week.seen, own, alike, worth, None)
    if worth is None:
        return found
    return found._replace(value=msgspec.structs.replace(found.value, by="segments"))


def terms_of(config: Config, spec: Spec, lift: float | None) -> Terms:
    """Return what a profile depends on beside the answers; `lift` goes before the config's."""
    settings = config.profile
    if lift is not None:
        settings = msgspec.structs.replace(settings, lift=lift)
    return Terms(
        spec=spec,
        settings=settings,
        pace=PaceSettings(
            episodes=config.batch.episodes,
            at_most=config.batch.at_most,
            rollout=config.rollout,
            lift=settings.lift,
            patience_days=settings.patience_days,
        ),
        passes=config.learner.passes,
        kept=config.keep_checkpoints,
        horizon_seconds=config.comparison.horizon_seconds,
    )


def _worth_of(figures: Mapping[str, Figures]) -> float | None:
    """Return the mean worth of a taken answer; None where that of any taken one is not known.

    Where none was taken, of all that might have been.
    """
    every = [(one.value, one.volume.answers) for one in figures.values()]
    known = [(value.of_answer, value.taken) for value, _ in every if value.taken]
    known = known or [(value.of_answer, answers) for value, answers in every]
    if not known or any(worth is None for worth, _ in known):
        return None
    return sum((worth or 0.0) * count for worth, count in known) / sum(count for _, count in known)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _of(before: Mapping[str, EarlierCount] | None, segment: str) -> EarlierCount | None:
    return None if before is None else before.get(segment, EarlierCount())
