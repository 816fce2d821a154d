"""Kept in time: a measurement that decides must be able to come before an answer is given up."""

from collections.abc import Iterable, Mapping, Sequence

from .term import Term

KEPT = "kept"


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
