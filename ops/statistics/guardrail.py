"""Guardrail: measured bounds whose breach rolls a candidate back, and what they are measured on."""

import math
from dataclasses import dataclass
from typing import Literal

import msgspec

from .readout import Readout
from .sequential_tests import sample_ratio
from .verdict import Verdict, VerdictKind


class GuardrailSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on a candidate, tested at every look and in every stage."""

    alpha_harm: float = 0.05
    """Probability, over all looks, of a false alarm: harm is found where there is none."""
    harm_users: int = 30
    """Users per variant before rewards raise an alarm. From 10 on, 3 % false alarms were measured."""
    harm_planned_users: int = 300
    """Users per variant at which the bound for harm is tightest: a bad candidate should meet few."""
    harm_tolerance: float = 0.0
    """Relative loss of reward that does not yet count as harm."""
    srm_alpha: float = 0.001
    """Probability, over all looks, that a right split of users is called wrong."""
    srm_action: Literal["hold", "rollback"] = "hold"
    """A wrong split means a broken measurement: the candidate is neither promoted nor quarantined."""
    max_error_share: float = 0.02
    """Share of failed requests that the candidate may have above the control's."""
    max_empty_share: float = 0.05
    """Share of empty or cut-off answers that the candidate may have above the control's."""
    min_bad: int = 5
    """Failed answers in a row, of two users or more, that roll a candidate back without a test; more
    of them where the control fails at times too."""

    def __post_init__(self) -> None:
        for name in ("alpha_harm", "srm_alpha"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1")
        for name in ("harm_tolerance", "max_error_share", "max_empty_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in [0, 1]")
        if min(self.harm_users, self.harm_planned_users, self.min_bad) < 2:
            raise ValueError("harm_users, harm_planned_users and min_bad must be at least 2")


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantObservation:
    """What one variant served under the rollout's salt."""

    exposed_users: int = 0
    """Users whom the variant served, rewarded or not."""
    assigned_users: int = 0
    """Of those, the ones assigned so long ago that every answer to them is known: a slow variant has
    as many as a quick one, where the split is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one look at a rollout reads. The control has the same share of users at the same time."""

    candidate: VariantObservation
    """The variant that serves the new version."""
    control: VariantObservation
    """The concurrent variant that serves the champion."""
    readout: Readout
    """All metrics over matured answers: the evidence."""
    tripped: Verdict | None = None
    """What the tripwire says of the last answers; None where it says nothing."""
    days: int = 0
    """Whole days of traffic of both variants whose answers count."""


def split_e_value(seen: Observation) -> float:
    """Return the e-value against an equal split of users between candidate and control."""
    return sample_ratio((seen.candidate.assigned_users, seen.control.assigned_users), (1.0, 1.0))


def guard(seen: Observation | None) -> Verdict:
    """Return FAIL on harm or on a broken bound, NODATA where nobody was served, WAIT otherwise.

    Its numbers are those that decide: the rewards' difference is that of the readout's means.
    """
    if seen is None:
        return Verdict(outcome=VerdictKind.NODATA, reasons=("nothing was observed",))
    numbers = _numbers(seen) | seen.readout.verdict.numbers
    if reasons := _failures(seen):
        return Verdict(outcome=VerdictKind.FAIL, reasons=reasons, numbers=numbers)
    if not seen.candidate.exposed_users:
        nobody = "nobody has been served the candidate yet"
        return Verdict(outcome=VerdictKind.NODATA, reasons=(nobody,), numbers=numbers)
    return Verdict(outcome=VerdictKind.WAIT, reasons=_waits_for(seen), numbers=numbers)


def _numbers(seen: Observation) -> dict[str, float]:
    numbers = {
        "ab/exposed_candidate": float(seen.candidate.exposed_users),
        "ab/exposed_control": float(seen.control.exposed_users),
        "ab/assigned_candidate": float(seen.candidate.assigned_users),
        "ab/assigned_control": float(seen.control.assigned_users),
        "ab/srm_e_value": split_e_value(seen),
    }
    if seen.readout.rewards is not None:
        ours, theirs = seen.readout.rewards
        numbers |= {
            "ab/diff": ours.estimate - theirs.estimate,
            "ab/standard_error": math.sqrt(ours.variance + theirs.variance),
            "ab/users_candidate": float(ours.users),
            "ab/users_control": float(theirs.users),
        }
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _failures(seen: Observation) -> tuple[str, ...]:
    verdicts = [each for each in (seen.tripped, seen.readout.verdict) if each is not None]
    return tuple(
        reason
        for verdict in verdicts
        if verdict.outcome is VerdictKind.FAIL
        for reason in verdict.reasons
    )


def _waits_for(seen: Observation) -> tuple[str, ...]:
    """Return why the tripwire holds the rollout: the control's answers fail as well."""
    return () if seen.tripped is None else seen.tripped.reasons
