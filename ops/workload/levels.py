"""Levels: which of three levels each figure is on, by the bars of `[profile.levels]`."""

from typing import Literal, TypeVar

import msgspec

from .horizon import HorizonFacts
from .settings import ProfileLevels
from .verification import ENOUGH, VerificationFacts
from .volume import LEAST_DAYS, VolumeFacts
from .worth import ValueFacts

Volume = Literal["low", "moderate", "high", "unknown"]
Value = Literal["low", "moderate", "high", "unknown"]
Checked = Literal["none", "weak", "moderate", "clean", "unknown"]
Horizon = Literal["short", "medium", "long", "unknown"]
Name = TypeVar("Name", bound=str)
COIN = 0.45
"""Share of wrong decisions from which on they say nothing."""
SELDOM = 0.01
"""Share of decided answers below which nothing decides."""
SEEN_SELDOM = 300
"""Answers from which on that is believed: of fewer none may be decided on though one in a hundred is (the rule
of three)."""
DISAGREE = 0.2
"""Cohen's kappa below which people judge alike requests no more alike than by chance (slight agreement by
Landis and Koch, 1977)."""


class WorkLevels(msgspec.Struct, frozen=True, kw_only=True):
    """Where a segment stands."""

    volume: Volume
    """How much comes."""
    value: Value
    """What a session is worth."""
    verification: Checked
    """How far what people did can be learned from."""
    horizon: Horizon
    """How long the work is."""


def levels_of(
    volume: VolumeFacts,
    value: ValueFacts,
    verification: VerificationFacts,
    horizon: HorizonFacts,
    bars: ProfileLevels,
    days: float,
) -> WorkLevels:
    """Return the levels of a segment that was seen for so many days."""
    # A few hours of a recording may be a sample of anything.
    much: Volume = "unknown"
    if days >= LEAST_DAYS:
        much = _of(volume.answers_week, bars.volume, ("low", "moderate", "high"))
    return WorkLevels(
        volume=much,
        value="unknown"
        if value.of_session is None
        else _of(value.of_session, bars.value, ("low", "moderate", "high")),
        verification=_checked(verification, bars),
        horizon="unknown"
        if horizon.steps is None
        else _of(horizon.steps, bars.horizon, ("short", "medium", "long")),
    )


def _of(figure: float, bars: tuple[float, float], names: tuple[Name, Name, Name]) -> Name:
    """Return the level of a figure that is known."""
    return names[(figure >= bars[0]) + (figure >= bars[1])]


def _checked(facts: VerificationFacts, bars: ProfileLevels) -> Checked:
    decided, noise = facts.decided, facts.noise
    if decided is None or (not facts.signals and not facts.decided_count):
        return "unknown"
    seldom = decided < SELDOM and facts.matured >= SEEN_SELDOM
    if seldom or (noise is not None and noise >= COIN):
        return "none"
    if facts.decided_count < ENOUGH:
        return "unknown"
    believed = noise is None or noise <= bars.noise[1]
    if decided < bars.decided[0] or not believed:
        return "weak"
    kappa = facts.between_people.beyond_chance
    one_mind = facts.between_people.pairs < ENOUGH or kappa is None or kappa >= DISAGREE
    clean = noise is not None and noise <= bars.noise[0] and one_mind
    return "clean" if decided >= bars.decided[1] and clean else "moderate"
