"""Advice: what a segment's figures argue for: harness only, adapters (LoRA), or full weights; with the reasons."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from .costs import CostFacts
from .levels import WorkLevels
from .pace import PaceFacts
from .reasons import Figures, Reason, notes_of, reasons_of, unknowns_of

Choice = Literal["harness", "lora", "full", "undecided"]
Reward = Literal["single", "composite", "none"]


LORA, FULL = "cost of LoRA", "cost of full weights"
BEGIN_SMALL = ("adapters were found to do as well: begin with LoRA, until it stops getting better",)
"""Schulman et al., 2025 (docs/profile.md)."""


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What is argued for, and by what."""

    choice: Choice
    """harness: work on prompts, tools and context alone. lora, full: learn, by adapters or full weights.
    undecided: not enough is known, or the figures argue against each other."""
    enough_known: bool
    """False where what is unknown could change the choice."""
    say: str
    """The choice in a sentence."""
    decided_by: tuple[str, ...]
    """The reasons that decided, by what they are about."""
    reward: Reward
    """Whether one signal will do as the reward, or several should be weighed together."""
    reasons: tuple[Reason, ...]
    """Every reason, with its figures."""
    unknown: tuple[str, ...]
    """What is not known, and what to do about it."""
    notes: tuple[str, ...]
    """What else one should know."""


def advise(figures: Figures) -> Advice:
    """Return what a segment's figures argue for."""
    choice, say, by, known = _choice(figures.levels, figures.pace, figures.lora, figures.full)
    return Advice(
        choice=choice,
        enough_known=known,
        say=say,
        decided_by=tuple(by),
        reward=_reward(figures.levels),
        reasons=tuple(reasons_of(figures)),
        unknown=tuple(unknowns_of(figures)),
        notes=(*(BEGIN_SMALL if choice == "full" else ()), *notes_of(figures)),
    )


def _choice(
    levels: WorkLevels, pace: PaceFacts, lora: CostFacts, full: CostFacts
) -> tuple[Choice, str, Sequence[str], bool]:
    """Return the choice, its sentence, what decided, and whether enough is known."""
    if levels.volume == "low":
        say = "harness only: so few answers come that no version could be told from its control"
        return "harness", say, ("volume",), True
    if levels.verification == "none":
        say = "harness only: what people did says nothing of the answers, so nothing can be learned"
        return "harness", say, ("verification",), True
    missing = [
        name
        for name in ("volume", "value", "verification", "horizon")
        if getattr(levels, name) == "unknown"
    ]
    if pace.why and "verification" not in missing:
        missing.append("pace")
    if missing:
        say = f"undecided: not enough is known of {', '.join(missing)}"
        return "undecided", say, missing, False
    return _between(levels, pace, lora, full)


def _between(
    levels: WorkLevels, pace: PaceFacts, lora: CostFacts, full: CostFacts
) -> tuple[Choice, str, Sequence[str], bool]:
    """Choose where everything is known and there is something to learn from."""
    dear = levels.value == "high"
    if lora.version_days is None:
        few = pace.promote_days is None
        by = "pace" if few else LORA
        if dear:
            why = "its users are too few to tell a version" if few else "no version comes in time"
            return (
                "undecided",
                f"undecided: the work is worth learning, and {why}",
                ("value", by),
                True,
            )
        say = "harness only: the users are too few to tell a version from its control in time"
        if not few:
            say = "harness only: no version comes about in time, by adapters either"
        return "harness", say, (by,), True
    if lora.pays is False:
        say = "harness only: the hoped-for lift does not pay for adapters"
        return "harness", say, (LORA,), True
    if levels.verification == "weak":
        say = (
            "undecided: first find a signal that says more of the answers, or record it more widely"
        )
        return "undecided", say, ("verification",), True
    if levels.volume == "moderate":
        return _moderate(levels)
    if dear and levels.horizon != "short" and full.pays and full.version_days is not None:
        say = "full weights: much work of high value with many steps, which adapters may be too small for"
        return "full", say, ("volume", "value", "horizon", FULL), True
    return "lora", *_why_adapters(levels, full)


def _moderate(levels: WorkLevels) -> tuple[Choice, str, Sequence[str], bool]:
    if levels.verification == "clean":
        say = "LoRA: moderate volume, and a clean signal that needs few answers"
        return "lora", say, ("volume", "verification", LORA), True
    say = (
        "undecided: the value argues for learning, moderate volume and an unclean signal against it"
        if levels.value == "high"
        else "undecided: learning would pay, and with moderate volume and an unclean signal it is slow"
    )
    return "undecided", say, ("volume", "value", "verification"), True


def _why_adapters(levels: WorkLevels, full: CostFacts) -> tuple[str, Sequence[str], bool]:
    if levels.horizon == "short":
        say = (
            "LoRA: much work with short horizon, of which adapters can hold what there is to learn"
        )
        return say, ("volume", "verification", "horizon", LORA), True
    if levels.value != "high":
        say = "LoRA: much work with more to learn, of too little value for full weights"
        return say, ("volume", "value", FULL), True
    why = (
        "do not pay" if full.version_days is not None else "no version of them comes about in time"
    )
    return f"LoRA: full weights would be argued for, and {why}", ("volume", FULL), True


def _reward(levels: WorkLevels) -> Reward:
    if levels.verification in ("none", "unknown"):
        return "none"
    return "single" if levels.verification == "clean" else "composite"
