"""Profile tables: what `rlwd profile` found, in a terminal of 80 columns."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from ...ops.workload.figures import amount, days
from ..rewards.reward_tables import add_row, plain_table
from ..status.shown_text import shown

NAMES = {
    "harness": "harness only",
    "lora": "LoRA",
    "full": "full weights",
    "undecided": "undecided",
}
"""How a choice is written."""


def profile_tables(document: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the profile: an overview, then each segment, then all of them together."""
    recorded = document["recorded"]
    scaled = "" if recorded == 1.0 else f", {recorded:.3%} of the users, scaled to all"
    yield Text(
        f"{document['answers']:,} answers in {document['days']:.1f} days from {document['begin']}"
        f" on, under {document['spec']}{scaled}"
    )
    segments = dict(document["segments"])
    yield _overview(segments, document["all"])
    for name in document["unmatched"]:
        yield shown(f"note: profile.segments.{name} is of none of these segments")
    for name, one in segments.items():
        yield from _segment(f"segment {name}" if name else "no segment", one, document)
    if len(segments) > 1:
        yield from _segment("all segments, as one policy", document["all"], document)


def _overview(segments: Mapping[str, Any], together: Mapping[str, Any] | None) -> Table:
    table = plain_table(
        "\nA week", "segment", "answers", "sessions", "users", "decided", "after", "steps", "for"
    )
    rows = [*segments.items()]
    if len(segments) > 1 and together is not None:
        rows.append(("(all)", together))
    for name, one in rows:
        volume, checked = one["volume"], one["verification"]
        add_row(
            table,
            name or "-",
            amount(volume["answers_week"]),
            amount(volume["sessions_week"]),
            amount(volume["users_week"]),
            _share(checked["decided"]),
            _seconds(checked["delay_median"]),
            _plain(one["horizon"]["steps"]),
            NAMES[one["advice"]["choice"]],
        )
    return table


def _segment(title: str, one: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Any]:
    advice = one["advice"]
    yield shown(f"\n{title}")
    yield Text(advice["say"])
    table = plain_table("", "about", "level", "for", "why", left=4)
    table.title = None
    table.columns[1].no_wrap = table.columns[0].no_wrap = True
    for reason in advice["reasons"]:
        decided = "*" if reason["about"] in advice["decided_by"] else ""
        argues = ", ".join(reason["argues_for"]) or "-"
        add_row(table, reason["about"] + decided, reason["level"], argues, reason["say"])
    yield table
    yield _verification(one["verification"], one["value"])
    yield _costs(one["cost"], document["currency"])
    yield Text(_worth(one["cost"], document["currency"]))
    for unknown in advice["unknown"]:
        yield Text(f"not known: {unknown}")
    for note in advice["notes"]:
        yield Text(f"note: {note}")


def _verification(checked: Mapping[str, Any], value: Mapping[str, Any]) -> Table:
    table = plain_table("", "what", "figure")
    table.title, table.show_header = None, False
    table.columns[1].justify = "left"
    table.columns[1].no_wrap = False
    for name, what in (("signals", "signals, of all answers"), ("deciding", "decided first by")):
        told = [f"{kind} {share:.1%}" for kind, share in checked[name].items()]
        add_row(table, what, ", ".join(told) or "-")
    after = f"{_seconds(checked['delay_median'])}, 9 of 10 within {_seconds(checked['delay_p90'])}"
    add_row(table, "decided after", after)
    for word in checked["later"]:
        said = f"{word['agree']:.1%} of {word['answers']:,} answers"
        add_row(table, f"{word['first']}, then {word['later']}", f"agree in {said}")
    between = checked["between_people"]
    if between["pairs"]:
        kappa = between["beyond_chance"]
        said = f"{between['agree']:.1%} of {between['pairs']:,} pairs decide alike"
        add_row(table, "alike requests", said + ("" if kappa is None else f", kappa {kappa:.2f}"))
    add_row(
        table,
        "taken back, too fast",
        f"{_share(checked['taken_back'])}, {_share(checked['hasty'])}",
    )
    add_row(
        table, "people who decide", f"{checked['judges']:,} ({_share(checked['judges_share'])})"
    )
    add_row(
        table,
        "edits leave, kept",
        f"{_share(value['left_by_edits'])}, {_share(value['kept'])}",
    )
    add_row(
        table,
        "people's time",
        f"{_seconds(value['person_seconds'])} an answer, {value['person_hours_week']:,.1f} h a week",
    )
    return table


def _costs(cost: Mapping[str, Any], currency: str) -> Table:
    table = plain_table(
        "",
        *(
            "way",
            "days a version",
            "waits for",
            f"{currency} a version",
            "a week",
            "breaks even at",
        ),
    )
    table.title = None
    for method in ("lora", "full"):
        one = cost[method]
        even = one["break_even_lift"]
        add_row(
            table,
            NAMES[method],
            "-" if one["version_days"] is None else days(one["version_days"]),
            one["waits_for"],
            _money(one["version"]),
            _money(one["week"]),
            "-" if even is None else f"{even:.2%}",
        )
    return table


def _worth(cost: Mapping[str, Any], currency: str) -> str:
    if cost["value_week"] is None:
        return "value a week: not known"
    return (
        f"value a week: {_money(cost['value_week'])} {currency}; a lift of {cost['lift']:.2%} brings"
        f" {_money(cost['lift_week'])}"
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _money(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f} s" if value < 120 else days(value / 86_400)
