"""Gate: what a candidate must show before it serves any user."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from ...learner.candidate import Candidate, HeldOut, Preference
from ..engine.port import Proof
from .held_out_size import held_out_size
from .verdict import Verdict, VerdictKind

DRIFT = "after/kl/anchor"
"""The learner's measurement of how far a version is from v0: KL(version to v0), nats per token."""


NOTHING = "held-out: nothing was held out; the canary decides"
NO_LEARNING = 0.5
"""The concordance of a version that learned nothing."""


class _Told(NamedTuple):
    """What one kind of held-out evidence says: PASS where it is enough, WAIT where it is too weak."""

    said: str
    outcome: VerdictKind


class GateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the gate requires of a candidate, its held-out estimate and the engines."""

    margin: float = 0.05
    """Largest loss of the held-out estimate against the served reward that still passes."""
    z: float = 1.64
    """Standard errors granted to the candidate: only a clear loss fails (1.64 is 5 %, one-sided)."""
    min_effective: float = 8.0
    """Effective sample size, or of preferences the effective users, below which held-out evidence is not
    used."""
    weak_first_step: float = 0.25
    """Part of the first step's share that a candidate below `min_effective` begins with: it is far
    from what was served, and nothing offline says how it does."""
    require_held_out: bool = False
    """Whether a candidate without held-out evidence that is enough gets NODATA instead of PASS."""
    probe_tolerance: float = 0.05
    """Largest difference of a probe's log-probability, per token, between the same weights."""
    replicas: int = 1
    """Fewest engine replicas that must serve the candidate."""
    max_drift: float = 2.0
    """Most KL to v0, nats per token of the answers that were trained on; 0 sets no budget."""
    planted: str = ""
    """File of planted strings (`rlwd plant`) that no version may recite; empty asks for none."""
    max_exposure: float = 9.0
    """Bits by which a planted string may be likelier than others of its form: a version that knows
    nothing is refused for one string in 2^10 (docs/gate.md)."""
    probe_rounds: int = 2
    """How often a version is asked each question that shows how it behaves, beside v0; 0 asks none."""
    probe_most_rounds: int = 12
    """How often it is asked at most, where what it answers looks like a habit that v0 does not have."""
    probes: str = ""
    """File of questions of your own (JSON Lines: `{"ask": "…", "tools": false}`); empty asks ours."""
    probe_tokens: int = 96
    """Most tokens of such an answer."""
    probe_alpha: float = 0.01
    """Probability that a version that behaves as v0 is held for its answers."""
    suites: tuple[str, ...] = ()
    """Names of installed suites (entry points of `rlwd.gate_suites`) that must pass too."""

    def __post_init__(self) -> None:
        if self.margin < 0 or self.z < 0 or self.probe_tolerance <= 0 or self.replicas < 1:
            raise ValueError("margin and z must be at least 0, probe_tolerance above, replicas 1")
        if not 3 <= self.max_exposure <= 14 or not self.max_drift >= 0:
            raise ValueError("max_exposure must lie in [3, 14], and max_drift must be at least 0")
        if (
            min(self.probe_rounds, self.probe_most_rounds) < 0
            or self.probe_tokens < 1
            or not 0 < self.probe_alpha < 1
        ):
            raise ValueError(
                "probe_rounds and probe_most_rounds must be at least 0, probe_tokens 1, and"
                " probe_alpha between 0 and 1"
            )
        if not 0 < self.weak_first_step <= 1:
            raise ValueError(f"weak_first_step is {self.weak_first_step}; it must lie in (0, 1]")


def judge(
    candidate: Candidate,
    *,
    adapter_problem: str | None,
    proofs: Sequence[Proof],
    settings: GateSettings,
) -> Verdict:
    """Return FAIL for wrong bits, non-finite numbers or clear loss on held-out episodes.

    WAIT while a replica has not shown that it serves the candidate. Held-out evidence that is
    missing or rests on too few episodes does not fail: the reason says so and the canary decides,
    unless the settings require that evidence (NODATA then). Where none of it is enough, the number
    gate/first_step says how much smaller the first step is to be. `adapter_problem` is what reading the adapter's
    files found: wrong digest, NaN, wrong shape.
    """
    numbers = dict(_numbers(candidate, proofs, settings))
    faults = [*_broken(candidate, adapter_problem), *_wrong_bits(proofs, settings)]
    faults += _too_far(candidate, settings)
    evidence = _evidence(candidate, settings)
    faults += [told.said for told in evidence if told.outcome is VerdictKind.FAIL]
    if faults:
        return Verdict(outcome=VerdictKind.FAIL, reasons=tuple(faults), numbers=numbers)
    missing = [
        f"{proof.url} does not serve it: {proof.reason}" for proof in proofs if not proof.served
    ]
    if len(proofs) < settings.replicas:
        missing.append(f"{len(proofs)} replicas were probed of at least {settings.replicas}")
    if missing:
        return Verdict(outcome=VerdictKind.WAIT, reasons=tuple(missing), numbers=numbers)
    absent = VerdictKind.NODATA if settings.require_held_out else VerdictKind.PASS
    return Verdict(
        outcome=VerdictKind.PASS if _shown(evidence) else absent,
        reasons=tuple(told.said for told in evidence) or (NOTHING,),
        numbers=numbers,
    )


def _broken(candidate: Candidate, adapter_problem: str | None) -> Iterator[str]:
    if adapter_problem is not None:
        yield f"adapter: {adapter_problem}"
    if not candidate.version.endswith(f"-{candidate.digest[:8]}"):
        yield f"its name {candidate.version} does not carry its digest {candidate.digest[:8]}"
    for name, value in candidate.metrics.items():
        if not math.isfinite(value):
            yield f"metric {name} is {value}"
    if any(not math.isfinite(value) for value in candidate.probe.logprobs):
        yield "the probe's log-probabilities are not finite"


def _wrong_bits(proofs: Sequence[Proof], settings: GateSettings) -> Iterator[str]:
    for proof in proofs:
        off = proof.difference
        if off is not None and math.isfinite(off) and abs(off) > settings.probe_tolerance:
            yield f"{proof.url} serves other bits: log-probability off by {off:.3g}"


def _too_far(candidate: Candidate, settings: GateSettings) -> Iterator[str]:
    drift = candidate.metrics.get(DRIFT, 0.0)
    if settings.max_drift and drift > settings.max_drift:
        yield (
            f"it drifted {drift:.3g} nats a token from v0, over the budget of {settings.max_drift:g}"
        )


def _evidence(candidate: Candidate, settings: GateSettings) -> list[_Told]:
    """Return what each kind of evidence that there is says."""
    found = list[_Told]()
    if candidate.held_out is not None:
        found.append(_held_out(candidate.held_out, settings))
    if candidate.preference is not None:
        found.append(_preference(candidate.preference, settings))
    return found


def _shown(evidence: Sequence[_Told]) -> bool:
    """Return whether one kind is enough: none overrules another, but for what fails."""
    return any(told.outcome is VerdictKind.PASS for told in evidence)


def _canary(settings: GateSettings) -> str:
    return f"the canary decides, from {settings.weak_first_step:.0%} of its first step"


def _held_out(seen: HeldOut, settings: GateSettings) -> _Told:
    if not all(map(math.isfinite, (seen.behaviour, seen.estimate, seen.standard_error))):
        said = f"held-out: the estimate is not finite: {seen.estimate}"
        return _Told(said, VerdictKind.FAIL)
    effective = seen.effective_sample_size
    if not effective >= settings.min_effective:
        return _Told(
            f"held-out: {effective:.1f} effective of {seen.count} episodes, below"
            f" {settings.min_effective:g}: it is far from what was served; {_canary(settings)}",
            VerdictKind.WAIT,
        )
    said = (
        f"held-out: estimate {seen.estimate:.3f} +- {seen.standard_error:.3f} against"
        f" {seen.behaviour:.3f} served, margin {settings.margin:g}"
    )
    if (needed := _needed(seen, settings)) is not None and needed > effective:
        said += f"; {effective:.0f} effective, {needed} would show a loss of twice the margin"
    best = seen.estimate + settings.z * seen.standard_error
    lost = best < seen.behaviour - settings.margin
    return _Told(said, VerdictKind.FAIL if lost else VerdictKind.PASS)


def _preference(seen: Preference, settings: GateSettings) -> _Told:
    """Return what held-out users' decisions say; enough is what lies clearly above no learning."""
    if not all(map(math.isfinite, (seen.concordance, seen.standard_error, seen.effective_users))):
        said = f"preferences: the concordance is not finite: {seen.concordance}"
        return _Told(said, VerdictKind.FAIL)
    said = (
        f"preferences: of two held-out answers the better one was raised more in"
        f" {seen.concordance:.3f} +- {seen.standard_error:.3f} of the cases, {seen.users} users"
    )
    if not seen.effective_users >= settings.min_effective:
        few = f"{seen.effective_users:.1f} of them effective, below {settings.min_effective:g}"
        return _Told(f"{said}, {few}; {_canary(settings)}", VerdictKind.WAIT)
    room = settings.z * seen.standard_error
    if seen.concordance + room < NO_LEARNING:
        return _Told(f"{said}: it learned the opposite", VerdictKind.FAIL)
    if seen.concordance - room > NO_LEARNING:
        return _Told(said, VerdictKind.PASS)
    weak = f"that is not clearly more than {NO_LEARNING}; {_canary(settings)}"
    return _Told(f"{said}: {weak}", VerdictKind.WAIT)


def _needed(seen: HeldOut, settings: GateSettings) -> int | None:
    """Return the effective episodes that the margin asks for; None without margin or spread."""
    if settings.margin <= 0 or not seen.standard_error:
        return None
    deviation = seen.standard_error * math.sqrt(seen.count)
    return held_out_size(settings.margin, deviation=deviation, z=settings.z)


def _numbers(
    candidate: Candidate, proofs: Sequence[Proof], settings: GateSettings
) -> Iterator[tuple[str, float]]:
    yield "gate/replicas", float(sum(proof.served for proof in proofs))
    if off := [proof.difference for proof in proofs if proof.difference is not None]:
        yield "gate/probe_difference", max(off)
    if DRIFT in candidate.metrics:
        yield "gate/drift", candidate.metrics[DRIFT]
    seen = candidate.held_out
    if seen is not None:
        yield "gate/held_out_count", float(seen.count)
        yield "gate/behaviour", seen.behaviour
        yield "gate/estimate", seen.estimate
        yield "gate/standard_error", seen.standard_error
        yield "gate/effective_sample_size", seen.effective_sample_size
    liked = candidate.preference
    if liked is not None:
        yield "gate/preference", liked.concordance
        yield "gate/preference_error", liked.standard_error
        yield "gate/preference_users", float(liked.users)
        yield "gate/preference_effective_users", liked.effective_users
    evidence = _evidence(candidate, settings)
    if evidence and not _shown(evidence):
        yield "gate/first_step", settings.weak_first_step
