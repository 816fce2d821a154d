"""Reward spec: which parts count how much, for how long, and when an episode is ready (TOML).

    name = "default"
    decisive = ["accepted", "rejected", "edited", "undone", "interrupted", "regenerated", "rated"]

    [ready]                     # seconds after the generation, by segment; 0 is the first decisive signal
    default = 0

    [horizons]                  # seconds after the generation for which a signal counts
    accepted = 3600
    kept = 86400

    [parts]                     # weight of each part
    accepted = 1.0
    edit_similarity = 1.0

The version is the name and a content hash: the same numbers always have the same version, and a
change of any of them another one.
"""

import hashlib
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated

import msgspec

from ...streams.events.episode import Episode
from ...streams.events.signals import SIGNALS
from ...streams.extensions import (
    Extension,
    extension_names,
    load_extension,
    refuse_collisions,
)
from ..parts.accepted import accepted
from ..parts.edit_similarity import edit_similarity
from ..parts.kept import kept
from ..parts.outcome import outcome
from ..parts.rated import rated
from ..parts.resolved import resolved
from ..parts.tool_ok import tool_ok
from .reward import Part, Reward

PartValue = Callable[[Episode], float | None]
Seconds = Annotated[float, msgspec.Meta(ge=0.0)]
Weight = Annotated[float, msgspec.Meta(gt=0.0)]

PARTS: dict[str, PartValue] = {
    "accepted": accepted,
    "edit_similarity": edit_similarity,
    "kept": kept,
    "rated": rated,
    "resolved": resolved,
    "outcome": outcome,
    "tool_ok": tool_ok,
}
"""The built-in parts; `kept@300` is `kept` at one horizon, `outcome@merged` one outcome."""
ENTRY_POINTS = "rlwd.reward_parts"
"""Group of the entry points by which installed distributions add parts (experimental)."""

KINDS = tuple(str(kind.__struct_config__.tag) for kind in SIGNALS)
DAY = 86400.0
DEFAULT_SPEC = Path(__file__).parent / "default.toml"


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """What an episode is worth. Pure: the same episode and spec always give the same reward."""

    name: str
    """Names the spec in versions and in MLflow."""
    parts: dict[str, Weight]
    """Weight of each part; the reward is the weighted mean of those with a value."""
    decisive: tuple[str, ...] = ("accepted", "rejected", "edited", "undone", "rated")
    """Kinds of signal of which one must have come before there is a reward. As it was in the first
    version, so that a spec that leaves it out keeps its hash; `default.toml` names two more."""
    ready: dict[str, Seconds] = msgspec.field(default_factory=lambda: {"default": 0.0})
    """Seconds after the generation until an episode may be trained on, by segment."""
    decision: dict[str, Seconds] = msgspec.field(default_factory=lambda: {"default": 3600.0})
    """Seconds after the generation until it is given up without a decision, by segment."""
    horizons: dict[str, Seconds] = {}
    """Seconds after the generation for which a kind of signal counts; a day where not given."""

    def __post_init__(self) -> None:
        for name in self.parts:
            part_value(name)  # Raises ValueError where there is no such part.
        for place in ("ready", "decision"):
            if "default" not in getattr(self, place):
                raise ValueError(f"$.{place}.default: is missing")
        for place, kinds in (("decisive", self.decisive), ("horizons", tuple(self.horizons))):
            for kind in kinds:
                if kind not in KINDS:
                    raise ValueError(f"$.{place}: {kind!r} is no signal; known: {', '.join(KINDS)}")
        if not self.parts:
            raise ValueError("$.parts: a spec needs at least one part")

    @cached_property
    def version(self) -> str:
        """`name@` and the first 12 hex digits of the SHA-256 of the spec's content."""
        content = msgspec.json.encode(self, order="deterministic")
        for name in sorted(self.parts):
            # The code of an installed part is known by its distribution's version alone.
            function = part_value(name)
            if isinstance(function, partial) and function.func is _installed_value:
                content += f"\0{name}\0{function.args[1].distribution}".encode()
        return f"{self.name}@{hashlib.sha256(content).hexdigest()[:12]}"

    def decision_seconds(self, segment: str) -> float:
        """Seconds until an episode of this segment is given up without a decision."""
        return self.decision.get(segment, self.decision["default"])

    def ready_seconds(self, segment: str) -> float:
        """Seconds until an episode of this segment may be trained on."""
        return self.ready.get(segment, self.ready["default"])

    def reward(self, episode: Episode) -> Reward | None:
        """Return what the episode is worth; None while no decisive signal came in its horizon."""
        counted = self._within_horizons(episode)
        if not [one for one in counted.feedback if isinstance(one.feedback.signal, self.deciding)]:
            return None
        parts = tuple(
            [
                Part(name=name, value=value_of(counted), weight=weight)
                for name, value_of, weight in self._functions
            ]
        )
        known = [(part.value, part.weight) for part in parts if part.value is not None]
        if not known:
            return None
        value = sum([v * w for v, w in known]) / sum([w for _, w in known])
        return Reward(value=value, parts=parts, spec_version=self.version)

    # The properties below are the same for every episode of a spec and computed once: a poll
    # scores thousands.

    @cached_property
    def deciding(self) -> tuple[type, ...]:
        """The decisive kinds."""
        return tuple(kind for kind in SIGNALS if kind.__struct_config__.tag in self.decisive)

    @cached_property
    def _limits(self) -> dict[type, float]:
        return {
            kind: self.horizons[str(kind.__struct_config__.tag)]
            for kind in SIGNALS
            if kind.__struct_config__.tag in self.horizons
        }

    @cached_property
    def _functions(self) -> tuple[tuple[str, PartValue, float], ...]:
        return tuple((name, part_value(name), weight) for name, weight in self.parts.items())

    def _within_horizons(self, episode: Episode) -> Episode:
        counted = tuple(
            [
                one
                for one in episode.feedback
                if one.received_at - episode.received_at
                <= self._limits.get(type(one.feedback.signal), DAY)
            ]
        )
        if len(counted) == len(episode.feedback):
            return episode
        return Episode(
            generation=episode.generation, received_at=episode.received_at, feedback=counted
        )


def part_value(name: str) -> PartValue:
    """Return the function behind a part's name, with what follows its @ filled in.

    Raises ValueError naming the part.
    """
    if name in PARTS:
        return PARTS[name]
    base, _, at = name.partition("@")
    if base == "kept" and at.isdecimal():
        return partial(kept, horizon_seconds=float(at))
    if base == "outcome" and at:
        return partial(outcome, name=at)
    installed = load_extension(ENTRY_POINTS, name, "$.parts")
    if installed is not None:
        return partial(_installed_value, name, installed)
    known = [*PARTS, "kept@SECONDS", "outcome@NAME", *extension_names(ENTRY_POINTS)]
    raise ValueError(f"$.parts.{name}: no such part; known: {', '.join(known)}")


def _installed_value(name: str, part: Extension, episode: Episode) -> float | None:
    """Return what an installed part says; raises ValueError where that is no share of 1."""
    value: float | None = part.function(episode)
    if value is not None and not 0.0 <= value <= 1.0:
        raise ValueError(
            f"$.parts.{name}: {part.distribution} returned {value!r}, which is not in [0, 1]"
        )
    return value


def reward_spec(path: str) -> Spec:
    """Read the spec that a config names; the built-in one where it names none."""
    return load_spec(Path(path) if path else DEFAULT_SPEC)


def load_spec(path: Path) -> Spec:
    """Read a spec; raises ValueError with the file and the path of the key at fault.

    Raises ValueError naming the distribution, too, where an installed part has a built-in name.
    """
    refuse_collisions(ENTRY_POINTS, PARTS)
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Spec)
    except (msgspec.ValidationError, msgspec.DecodeError, ValueError) as problem:
        raise ValueError(f"{path}: {problem}") from problem
