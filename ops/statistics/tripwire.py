"""Tripwire: takes back a candidate that only fails, from its last answers and without a test."""

import math
from collections.abc import Sequence

import msgspec

from .verdict import Verdict, VerdictKind


class TripwireSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a run of failed answers is enough."""

    answers: int = 8
    """Failed answers in a row that trip it: 4 seconds at 2 answers a second."""
    users: int = 2
    """Users among them; of fewer, three times as many answers are needed, and where others were
    answered lately, one named user's are never enough: a client may send what must fail."""
    chance: float = 1e-6
    """Probability of such a run at the control's own share of failures; the run grows until then."""

    def __post_init__(self) -> None:
        if self.answers < 2 or self.users < 1 or not 0 < self.chance < 1:
            raise ValueError("answers must be at least 2, users 1, and chance between 0 and 1")


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One answer's end, as the tripwire sees it."""

    user: str
    """Hashed user; empty for an unnamed one."""
    failed: bool
    """The engine gave no usable answer: an error, a time-out, nothing but the end token."""


def tripped(
    candidate: Sequence[Served], control: Sequence[Served], settings: TripwireSettings
) -> Verdict | None:
    """Return FAIL where the candidate's last answers all failed, WAIT where the control's did too.

    Both are the last answers, oldest first; a hundred of each suffice. None where nothing trips. An
    engine that is down fails everybody: that is not the candidate's fault, and it is not blamed.
    """
    run = _run(candidate)
    failed = sum(answer.failed for answer in control)
    usual = (failed + 1) / (len(control) + 2)
    need: float = max(settings.answers, math.ceil(math.log(settings.chance) / math.log(usual)))
    if len({answer.user for answer in run if answer.user}) < settings.users:
        need = max(need, 3 * settings.answers)
        if _one_client(run, candidate):
            need = math.inf
    if len(_run(control)) >= settings.answers and len(run) >= settings.answers:
        reason = (
            f"the last {len(run)} answers of the candidate and the last {len(_run(control))} of the"
            " control failed: the engine is at fault"
        )
        return Verdict(outcome=VerdictKind.WAIT, reasons=(reason,))
    if len(run) < need:
        return None
    reason = (
        f"the last {len(run)} answers of the candidate all failed; of the control's last"
        f" {len(control)} {failed} did"
    )
    return Verdict(outcome=VerdictKind.FAIL, reasons=(reason,))


def _one_client(run: Sequence[Served], answers: Sequence[Served]) -> bool:
    """Return whether only one named user failed, and somebody else was answered before."""
    failed = {answer.user for answer in run}
    others = any(answer.user not in failed and not answer.failed for answer in answers)
    return others and len(failed) == 1 and "" not in failed


def _run(answers: Sequence[Served]) -> list[Served]:
    """Return the failed answers at the end."""
    run: list[Served] = []
    for answer in reversed(answers):
        if not answer.failed:
            break
        run.append(answer)
    return run
