"""Decisive: which signals give an answer a reward at all, by kind or as a fault of the model's own."""

from collections.abc import Iterable
from typing import NamedTuple

from ...streams.events.signals import SIGNALS, Signal, ToolResult
from ..parts.tool_ok import BLAMES_POLICY
from .spec_checks import KINDS

FAULTS = {f"tool_result:{name}": name for name in sorted(BLAMES_POLICY)}
"""What a spec may name besides kinds: a tool's error of a class that is the model's own fault. That a
tool worked, or was out of order, is no decision on the answer, so that `tool_result` seldom is one."""


class Decisive(NamedTuple):
    """What decides, looked up once for a spec."""

    kinds: tuple[type[Signal], ...]
    """Kinds of signal."""
    faults: frozenset[str]
    """Classes of tools' errors."""

    def __call__(self, signal: Signal) -> bool:
        """Return whether a signal decides."""
        return isinstance(signal, self.kinds) or (
            bool(self.faults)
            and isinstance(signal, ToolResult)
            and signal.error_class in self.faults
        )


def decisive(names: Iterable[str]) -> Decisive:
    """Return what decides by the names in a spec; raises ValueError naming the wrong one."""
    given = tuple(names)
    for name in given:
        if name not in KINDS and name not in FAULTS:
            known = ", ".join((*KINDS, *FAULTS))
            raise ValueError(f"$.decisive: {name!r} is no signal; known: {known}")
    return Decisive(
        tuple(kind for kind in SIGNALS if kind.__struct_config__.tag in given),
        frozenset(FAULTS[name] for name in given if name in FAULTS),
    )
