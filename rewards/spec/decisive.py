"""Decisive: which signals give an answer a reward at all: kinds, faults of the model's own, measurements."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ...streams.events.signals import SIGNALS, Kept, Signal, ToolResult
from ..parts.tool_ok import BLAMES_POLICY
from .spec_checks import KINDS
from .term import Term

KEPT = "kept"
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


def kept_horizon(names: Iterable[str]) -> float | None:
    """Return the horizon of the `kept@SECONDS` among the decisive names; None where there is none.

    Raises ValueError where it is no number of seconds above 0, or where `kept` is named again.
    """
    asked = sorted({name for name in names if name.partition("@")[0] == KEPT})
    if len(asked) > 1:
        raise ValueError(
            f"$.decisive: {asked[0]!r} and {asked[1]!r} are both named; the shortest horizon decides,"
            " so name that one alone"
        )
    _, at, given = asked[0].partition("@") if asked else ("", "", "")
    if not at:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise ValueError(f"$.decisive: {asked[0]!r}: {given!r} is no number of seconds above 0")
    return seconds


def check_kept_in_time(
    seconds: float, parts: Sequence[Term], counts: float, decision: Mapping[str, float]
) -> None:
    """Refuse a decisive `kept@SECONDS` whose measurements would all come too late to count.

    `counts` is for how long signals of the kind do. Raises ValueError with the path of the key that must
    be longer.
    """
    if counts <= seconds:
        raise ValueError(
            f"$.horizons.{KEPT}: is {counts:g} s, so that no measurement at {seconds:g} s counts, which"
            f" $.decisive names ({KEPT}@{seconds:g}); it must be longer than that"
        )
    for segment in _segments(parts, decision):
        if decision[segment] <= seconds:
            raise ValueError(
                f"$.decision.{segment}: an answer is given up after {decision[segment]:g} s, before a"
                f" measurement at {seconds:g} s can come, which $.decisive names"
                f" ({KEPT}@{seconds:g}); it must be longer than that"
            )


def _segments(parts: Sequence[Term], decision: Mapping[str, float]) -> list[str]:
    """Return the keys of `decision` that hold for answers of which `kept` is a part.

    Where it is a part of none, it decides on answers of all segments.
    """
    reading = [term.segments for term in parts if term.of.partition("@")[0] == KEPT]
    if not reading or None in reading:
        return list(decision)
    named = {one for segments in reading for one in segments or ()}
    return [one for one in decision if one in named or (one == "default" and named - set(decision))]
