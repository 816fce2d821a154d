"""Decisive: which signals give an answer a reward at all: kinds, faults of the model's own, measurements."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ...streams.events.signals import SIGNALS, Kept, Signal, ToolResult
from ..parts.tool_ok import BLAMES_POLICY
from .kept_in_time import KEPT, check_kept_in_time, kept_horizon
from .spec_checks import KINDS
from .term import Term

FAULTS = {f"tool_result:{name}": name for name in sorted(BLAMES_POLICY)}
"""What a spec may name besides kinds: a tool's error of a class that is the model's own fault. That a
tool worked, or was out of order, is no decision on the answer, so that `tool_result` seldom is one."""


class Decisive(NamedTuple):
    """What decides, looked up once for a spec."""

    kinds: tuple[type[Signal], ...]
    """Kinds of signal."""
    faults: frozenset[str]
    """Classes of tools' errors."""
    kept_seconds: float | None = None
    """Horizon from which on a measurement of what was kept decides; None where only kinds do."""

    def __call__(self, signal: Signal) -> bool:
        """Return whether a signal decides."""
        if isinstance(signal, self.kinds):
            return True
        if isinstance(signal, Kept):
            return self.kept_seconds is not None and signal.horizon_seconds >= self.kept_seconds
        return isinstance(signal, ToolResult) and signal.error_class in self.faults

    def check_in_time(
        self,
        parts: Sequence[Term],
        horizons: Mapping[str, float],
        decision: Mapping[str, float],
        usual: float,
    ) -> None:
        """Refuse a measurement that would decide but can only come too late to count.

        `usual` is the horizon of a kind of signal that `horizons` does not name. Raises ValueError with
        the path of the key that must be longer.
        """
        if self.kept_seconds is not None:
            counts = horizons.get(KEPT, usual)
            check_kept_in_time(self.kept_seconds, parts, counts, decision)


def decisive(names: Iterable[str]) -> Decisive:
    """Return what decides by the names in a spec; raises ValueError naming the wrong one."""
    given = tuple(names)
    seconds = kept_horizon(given)
    for name in given:
        if name not in KINDS and name not in FAULTS and not name.startswith("kept@"):
            known = ", ".join((*KINDS, *FAULTS, "kept@SECONDS"))
            raise ValueError(f"$.decisive: {name!r} is no signal; known: {known}")
    return Decisive(
        tuple(kind for kind in SIGNALS if kind.__struct_config__.tag in given),
        frozenset(FAULTS[name] for name in given if name in FAULTS),
        seconds,
    )
