"""Explain tables: how one answer's reward comes about, as tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from ..explain.reward_sum import length_of, reward_sum
from ..status.shown_text import shown
from .reward_tables import add_row, number, plain_table


def explain_tables(story: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the answer, its signals, parts and costs, and the sum."""
    where = f"segment {story['segment'] or '-'}, {story['stage']}, {story['fate']}"
    yield shown(f"{story['generation_id']}: {where}")
    yield Text(f"spec {story['spec']}")
    if not story["held"]:
        yield Text(
            "\nIts content was forgotten (retention, an erasure or consent): it cannot be worked out"
            " again. What the state has of it:"
        )
        yield from _stored(story["stored"])
        return
    yield from _signals(story)
    yield from _parts(story)
    yield from _costs(story)
    yield Text("\n" + reward_sum(story))
    yield from _stored(story["stored"])


def _signals(story: Mapping[str, Any]) -> Iterator[Any]:
    if not story["signals"]:
        yield Text("\nnobody said anything of it")
        return
    table = plain_table("\nSignals", "signal", "counts", "after", "horizon", left=2)
    for one in story["signals"]:
        said = " ".join(
            value if isinstance(value, str) else f"{name}={value:g}"
            for name, value in one["said"].items()
            if value not in (None, "")
        )
        add_row(
            table,
            " ".join(filter(None, (one["kind"], said, _whose(one["attributed"])))),
            _counts(one),
            length_of(one["after_seconds"]),
            length_of(one["horizon_seconds"]),
        )
    yield table


def _whose(told: Mapping[str, Any] | None) -> str:
    """Write by what right a signal stands here that does not name the answer."""
    if told is None:
        return ""
    by = f"of {told['of']}" if told["of"] else "of its chain"
    through = f" through {told['through']}" if told["through"] else ""
    return f"({by}{through}, {told['steps']} answers later, by {told['weight']:g})"


def _counts(one: Mapping[str, Any]) -> str:
    told = "decides" if one["decides"] else "yes" if one["counts"] else "no, late"
    for name, inside in one["own_horizons"].items():
        if inside != one["counts"]:
            told += f"; {name}: {'yes' if inside else 'no'}"
    return told


def _parts(story: Mapping[str, Any]) -> Iterator[Any]:
    known = [one for one in story["parts"] if one["value"] is not None]
    total = sum(one["weighs"] for one in known)
    valued = story.get("undecided") is not None
    table = plain_table("\nParts", "part", "says", "value", "weight", "brings")
    for one in story["parts"]:
        brings = one["value"] is not None and total and not valued
        add_row(
            table,
            _name(one),
            "open" if one["value"] is None else number(one["natural"]),
            number(one["value"]),
            f"{one['weighs']:g}",
            number(one["value"] * one["weighs"] / total) if brings else "-",
        )
    yield table


def _costs(story: Mapping[str, Any]) -> Iterator[Any]:
    if not story["costs"]:
        return
    table = plain_table("\nCosts", "cost", "says", "over", "value", "weight", "takes off")
    for one in story["costs"]:
        add_row(
            table,
            _name(one),
            "open" if one["value"] is None else number(one["natural"], ",.4g"),
            f"{one['scale']:g}",
            number(one["value"]),
            f"{one['weighs']:g}",
            "-" if one["value"] is None else number(one["value"] * one["weighs"]),
        )
    yield table
    for one in story["costs"]:
        if one["over"] is not None:
            yield shown(f"{one['name']}: {_over(one['over'])}")


def _over(told: Mapping[str, Any]) -> str:
    """Write what a cost over a chain was taken of."""
    amounts, uncounted = told["amounts"], told["uncounted"]
    tokens = sum(amounts[key] for key in ("reasoning", "call_tokens", "output_tokens", "answer"))
    lacks = f" ({uncounted} of them not counted)" if uncounted else ""
    return (
        f"over the {told['answers']} answers of its chain{lacks}, {tokens:,.0f} tokens and"
        f" {amounts['calls']:g} calls, with {told['steps']} answers after it"
    )


def _name(one: Mapping[str, Any]) -> str:
    told = one["name"] if one["of"] == one["name"] else f"{one['name']} ({one['of']})"
    if one["clip"] is not None and one["natural"] is not None:
        low, high = one["clip"]
        if not low <= one["natural"] <= high:
            told += f", clipped to [{low:g}, {high:g}]"
    return str(told)


def _stored(stored: Mapping[str, Any]) -> Iterator[Any]:
    if stored["reward"] is None:
        yield Text("stored: no reward")
    else:
        yield Text(f"stored: {stored['reward']:.3f} by {stored['spec']}")
    if stored["in_comparisons"] != stored["reward"]:
        yield Text(
            f"in comparisons: {number(stored['in_comparisons'])} by {stored['in_comparisons_by']}"
        )
