"""Verdicts: which way each act about an answer points, and which of them are decisions."""

from collections.abc import Mapping

import msgspec

from ...rewards.spec.decisive import FAULTS, KEPT, kept_horizon
from ...streams.answers.observed import ObservedAct, ObservedAnswer, ObservedSignal

HALF = 0.5
"""From here on a number speaks for the answer, below it against it."""
FOR = {"accepted": True, "copied": True, "resolved": True}
AGAINST = dict.fromkeys(("rejected", "undone", "interrupted", "regenerated", "escalated"), False)
ONE_SIDED = frozenset(("undone", "interrupted", "regenerated", "copied"))
"""Kinds that say one thing only: that none came says the other, and nobody posts that."""
EDITS = ("edit_similarity", "edit_words", "edit_survival")
"""The parts that say how much of an answer an edit left, the one that is asked first."""
WATCHED = frozenset(("asked", "measured", "followed_up", "unknown_signal"))
"""Kinds that point neither way."""

_PARTS = msgspec.json.Decoder(dict[str, tuple[float | None, float]])


class PointingAct(msgspec.Struct, frozen=True, gc=False):
    """An act that points one way."""

    kind: str
    """Of the signal."""
    taken: bool
    """Whether it speaks for the answer."""
    acted: float
    """Epoch seconds."""
    decisive: bool
    """Whether it decides by the reward spec."""
    own: bool
    """Whether it is counted with this answer."""


class DecisiveNames:
    """What decides by the names in a reward spec."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = frozenset(names)
        self.faults = frozenset(FAULTS[name] for name in names if name in FAULTS)
        self.kept_seconds = kept_horizon(names)

    def __call__(self, act: ObservedSignal) -> bool:
        """Return whether an act decides."""
        if act.kind in self.names:
            return True
        if act.kind == KEPT:
            seconds = act.horizon_seconds or 0.0
            return self.kept_seconds is not None and seconds >= self.kept_seconds
        return act.kind == "tool_result" and act.error_class in self.faults


def parts_of(answer: ObservedAnswer) -> Mapping[str, tuple[float | None, float]]:
    """Return an answer's reward by its parts: value and weight."""
    return {} if answer.parts is None else _PARTS.decode(answer.parts)


def left_by_edit(parts: Mapping[str, tuple[float | None, float]]) -> float | None:
    """Return how much of an answer an edit left, by the first part that says so; None where none does."""
    values = (parts[name][0] for name in EDITS if name in parts)
    return next((value for value in values if value is not None), None)


def verdicts(
    answer: ObservedAnswer, decides: DecisiveNames, left: float | None
) -> list[PointingAct]:
    """Return the acts about an answer that point one way, in their order; `left` is of its edit."""
    found = []
    for one in answer.acts:
        taken = _points(one, left)
        if taken is not None:
            kind = one.act.kind
            found.append(PointingAct(kind, taken, one.acted, decides(one.act), one.own))
    return found


def _points(one: ObservedAct, left: float | None) -> bool | None:
    """Return whether an act speaks for its answer; None where it says neither."""
    act = one.act
    if act.kind in FOR:
        return True
    if act.kind in AGAINST:
        return False
    if act.kind == "edited":
        return None if left is None else left >= HALF
    if act.kind == "judged":
        return {"satisfied": True, "dissatisfied": False}.get(act.direction or "")
    if act.kind == "tool_result":
        # That a tool worked is no verdict on the answer, and an outage is not its fault.
        return False if act.error_class in FAULTS.values() else None
    if act.kind == "checked":
        return act.passed
    number = act.fraction if act.kind == KEPT else act.value
    return None if number is None or act.kind in WATCHED else number >= HALF
