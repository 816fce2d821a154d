"""Verdict: the answer of a gate or a guardrail, with its reasons."""

import enum

import msgspec


class VerdictKind(enum.StrEnum):
    """The four answers; each has its action and its deadline."""

    PASS = "PASS"
    """The rollout goes on."""
    FAIL = "FAIL"
    """The candidate is rolled back for cause, and its digest is not offered again."""
    WAIT = "WAIT"
    """Evidence arrives but does not suffice yet."""
    NODATA = "NODATA"
    """No evidence arrives: a source is broken, or there is no traffic."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One answer with its reasons and its measurements."""

    outcome: VerdictKind
    """Which of the four answers it is."""
    reasons: tuple[str, ...] = ()
    """Plain sentences, the most important first."""
    numbers: dict[str, float] = {}
    """Measurements by slash-grouped names: ab/diff, reward/low."""

    @property
    def reason(self) -> str:
        """All reasons on one line."""
        return "; ".join(self.reasons)
