"""Reasons: what each figure of a segment argues for, in words and with the figures themselves."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from .costs import CostFacts, Workload
from .figures import amount, days
from .horizon import HorizonFacts
from .levels import WorkLevels
from .pace import PaceFacts
from .settings import ProfileSettings
from .verification import VerificationFacts
from .volume import LEAST_DAYS, VolumeFacts
from .worth import ValueFacts

KEPT_OUT = 0.05
"""Share of the answers from which on it is said that they are excluded."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One argument."""

    about: str
    """volume, value, verification, horizon, pace, `cost of LoRA` or `cost of full weights`."""
    level: str
    """Where the segment stands in that."""
    argues_for: tuple[str, ...]
    """Of harness, lora and full, what it speaks for; empty where for none."""
    say: str
    """The argument in a sentence."""
    figures: dict[str, float | None]
    """The figures behind it."""


class Figures(NamedTuple):
    """All that is known of a segment."""

    days: float
    """How long was seen."""
    volume: VolumeFacts
    """How much comes."""
    value: ValueFacts
    """What it is worth."""
    verification: VerificationFacts
    """How far it can be learned from."""
    horizon: HorizonFacts
    """How long the work is."""
    levels: WorkLevels
    """Where it stands in each."""
    pace: PaceFacts
    """How fast versions can follow one another."""
    work: Workload
    """What the cost model needs to know of the work."""
    lora: CostFacts
    """What adapters cost."""
    full: CostFacts
    """What full weights cost."""
    settings: ProfileSettings
    """Prices and bars."""


_VOLUME: Mapping[str, tuple[tuple[str, ...], str]] = {
    "low": (("harness",), "too few to learn from, and to tell versions apart"),
    "moderate": (("harness", "lora"), "enough for adapters where the signal is clean"),
    "high": (("lora", "full"), "enough for either kind of weights"),
    "unknown": ((), "too short a time was seen to say"),
}
_VALUE: Mapping[str, tuple[tuple[str, ...], str]] = {
    "low": (("harness",), "a small lift brings little"),
    "moderate": (("lora",), "a small lift brings something, and errors are borne"),
    "high": (("lora", "full"), "a small lift brings much, and errors are dear"),
    "unknown": ((), "nothing says what a taken answer is worth"),
}
_CHECKED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "none": (("harness",), "nothing can be learned from it"),
    "weak": (("harness",), "seldom or often wrong: more would have to be recorded first"),
    "moderate": (
        ("lora", "full"),
        "several signals should be weighed together (a composite reward)",
    ),
    "clean": (("lora", "full"), "one signal will do as the reward"),
    "unknown": ((), "too little was decided to say"),
}
_HORIZON: Mapping[str, tuple[tuple[str, ...], str]] = {
    "short": (("lora",), "few steps, which adapters can hold"),
    "medium": (("lora", "full"), "several steps a session"),
    "long": (("full",), "many steps a session, of which adapters may not hold all"),
    "unknown": ((), "nobody knows which answers belong together"),
}


def reasons_of(of: Figures) -> Iterator[Reason]:
    """Yield what each figure argues for."""
    volume, value, checked, horizon = of.volume, of.value, of.verification, of.horizon
    yield _reason("volume", of.levels.volume, _VOLUME, _volume(of), {
        "answers_week": volume.answers_week, "users_week": volume.users_week,
        "growth_answers": volume.growth_answers,
    })  # fmt: skip
    yield _reason("value", of.levels.value, _VALUE, _value(of), {
        "of_answer": value.of_answer, "of_session": value.of_session,
    })  # fmt: skip
    yield _reason("verification", of.levels.verification, _CHECKED, _checked(checked), {
        "decided": checked.decided, "noise": checked.noise,
        "between_people": checked.between_people.beyond_chance,
    })  # fmt: skip
    yield _reason("horizon", of.levels.horizon, _HORIZON, _horizon(horizon), {
        "turns": horizon.turns, "tool_calls": horizon.tool_calls, "steps": horizon.steps,
        "growth_turns": horizon.growth_turns,
    })  # fmt: skip
    yield _pace(of)
    yield _cost(of, "lora", "LoRA", of.lora)
    yield _cost(of, "full", "full weights", of.full)


def _reason(
    about: str,
    level: str,
    table: Mapping[str, tuple[tuple[str, ...], str]],
    what: str,
    figures: dict[str, float | None],
) -> Reason:
    argues, meaning = table[level]
    return Reason(
        about=about, level=level, argues_for=argues, say=f"{what}: {meaning}", figures=figures
    )


def _volume(of: Figures) -> str:
    said = f"{amount(of.volume.answers_week)} answers a week"
    if of.volume.growth_answers is not None:
        said += f" ({of.volume.growth_answers:+.0%} since the time before)"
    return said


def _value(of: Figures) -> str:
    if of.value.of_answer is None:
        return "value unknown"
    if of.value.of_session is None:
        return f"{money(of.value.of_answer, of)} a taken answer"
    return f"{money(of.value.of_session, of)} a session, {money(of.value.of_answer, of)} a taken answer"


def _checked(facts: VerificationFacts) -> str:
    decided = "no answer" if facts.decided is None else f"{facts.decided:.0%} of the answers"
    noise = "nobody knows how many of them wrongly"
    if facts.noise is not None:
        noise = f"{facts.noise:.0%} of these wrongly, by {facts.noise_by}"
    return f"{decided} decided on, {noise}"


def _horizon(facts: HorizonFacts) -> str:
    if facts.steps is None or facts.turns is None:
        return "sessions unknown"
    said = f"{facts.steps:.1f} steps a session ({facts.turns:.1f} answers, {facts.tool_calls:.1f} calls)"
    if facts.growth_turns is not None and facts.growth_turns >= 0.1:
        said += f", growing ({facts.growth_turns:+.0%})"
    return said


def _pace(of: Figures) -> Reason:
    pace, patience = of.pace, of.settings.patience_days
    argues: tuple[str, ...] = ()
    figures = {
        "fill_days": pace.fill_days,
        "promote_days": pace.promote_days,
        "tell_days": pace.tell_days,
    }
    if pace.why:
        said, level = f"no rollout could be planned: {pace.why}", "unknown"
    elif pace.promote_days is None:
        said = f"within {patience:g} days half of such versions would not be promoted"
        if pace.smallest_lift is not None:
            said += f"; they show lifts from {pace.smallest_lift:.1%} on"
        level, argues = "too slow", ("harness",)
    else:
        told = "not within patience_days" if pace.tell_days is None else f"{days(pace.tell_days)}"
        fill = "never" if pace.fill_days is None else days(pace.fill_days)
        said = (
            f"a batch is there after {fill}, a version is promoted after {days(pace.promote_days)}"
            f" and shown to be better after: {told}"
        )
        level, argues = "in time", ("lora", "full")
    return Reason(about="pace", level=level, argues_for=argues, say=said, figures=figures)


def _cost(of: Figures, method: str, name: str, cost: CostFacts) -> Reason:
    argues: tuple[str, ...] = ()
    figures = {
        "version": cost.version,
        "week": cost.week,
        "break_even_lift": cost.break_even_lift,
        "net_week": cost.net_week,
    }
    if cost.week is None:
        said, level = "no version comes about in time", "no version"
    elif cost.pays is None:
        said = f"{money(cost.week, of)} a week; whether it pays is unknown"
        level = "unknown"
    elif cost.break_even_lift is None:
        why = "what is taken is worth nothing" if of.value.taken else "no answer is taken"
        said = f"{money(cost.week, of)} a week, and {why} that a lift could make more of"
        level, argues = "does not pay", ("harness",)
    else:
        said = (
            f"{money(cost.week, of)} a week, which a lift of {cost.break_even_lift:.2%} pays for;"
            f" hoped for are {of.settings.lift:.2%}"
        )
        level = "pays" if cost.pays else "does not pay"
        argues = (method,) if cost.pays else ("harness",) if method == "lora" else ()
    return Reason(
        about=f"cost of {name}", level=level, argues_for=argues, say=said, figures=figures
    )


def unknowns_of(of: Figures) -> Iterator[str]:
    """Yield what is not known of a segment, and what would tell."""
    checked, volume = of.verification, of.volume
    if of.days < LEAST_DAYS:
        yield f"only {of.days:.1f} days were seen; a week shows weekdays and weekend"
    if of.value.of_answer is None:
        yield "what a taken answer is worth: set profile.segments.NAME.value, or profile.value"
    if not checked.signals:
        yield "what people did with answers: no signal is recorded (docs/connect.md)"
    elif checked.noise is None:
        yield "how many decisions are wrong: record a later word on the answer (kept, undone, an outcome)"
    if checked.between_people.beyond_chance is None:
        yield "whether people judge alike requests alike: too few of them, or none are held"
    if volume.unnamed:
        yield f"who asked, of {volume.unnamed:.0%} of the answers: the product names no user"
    if of.value.tokens_answer is None:
        yield "what answers cost: nobody counted their tokens"


def notes_of(of: Figures) -> Iterator[str]:
    """Yield what else one should know before acting on the figures."""
    if of.settings.recorded < 1.0:
        yield f"{of.settings.recorded:.3%} of the users are recorded; counts are scaled to all"
    wait, end = of.pace.promote_days, of.pace.deadline_days
    if wait is not None and wait > end:
        yield f"rollout.deadline_seconds ends a rollout after {days(end)}: too soon for {days(wait)}"
    for fate, count in of.volume.kept_out.items():
        if count >= KEPT_OUT * of.volume.answers:
            out = count / of.volume.answers
            yield f"{out:.0%} of the answers cannot be learned from as they are: {fate} (docs/fates.md)"


def money(value: float, of: Figures) -> str:
    """Write an amount of money."""
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
    return f"{text} {of.settings.currency}"
