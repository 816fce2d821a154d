"""Verdict: a gate's or guardrail's answer, with its reasons."""

import enum

import msgspec


class VerdictKind(enum.StrEnum):
    """The four answers. None of them is silence: each has an action and a deadline."""

    PASS = "PASS"
    """Go on."""
    FAIL = "FAIL"
    """Guilty: take it back and never offer it again."""
    WAIT = "WAIT"
    """Evidence comes in but does not suffice yet."""
    NODATA = "NODATA"
    """No evidence comes in: something is broken, or nobody is there."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that says why."""

    outcome: VerdictKind
    """What follows."""
    reasons: tuple[str, ...] = ()
    """Plain sentences, the weightiest first."""
    numbers: dict[str, float] = {}
    """What was measured, slash-grouped: ab/diff, ab/harm_bound, users/candidate."""

    @property
    def reason(self) -> str:
        """All reasons on one line."""
        return "; ".join(self.reasons)
