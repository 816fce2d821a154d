"""Reward tables: what the commands on rewards print, in a terminal of 80 columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from ..status.shown_text import shown


def plain_table(title: str, *columns: str, left: int = 1) -> Table:
    """Return an empty table; its first columns hold names, the others numbers."""
    table = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
    for place, column in enumerate(columns):
        named = place < left
        table.add_column(
            column,
            justify="left" if named else "right",
            overflow="fold",
            no_wrap=not named,
        )
    return table


def add_row(table: Table, *cells: str) -> None:
    """Add cells as text: a segment's name may hold what the console takes for markup."""
    table.add_row(*map(shown, cells))


def number(value: float | None, form: str = ".3f") -> str:
    """Write a number; a dash where there is none."""
    return "-" if value is None else format(value, form)


def change_of(now: str, new: str) -> str:
    """Write what is and what would be; once where it stays."""
    return now if now == new else f"{now} > {new}"


def what_if_tables(document: Mapping[str, Any]) -> list[Any]:
    """Return what would change: a line, segments, parts, the answers that change most."""
    rate = document["answers_per_second"]
    lines = [
        Text(f"{document['now']} > {document['new']}: {document['answers']:,} answers"),
        Text(f"worked out in {document['seconds']:.1f} s ({rate or 0:,} answers a second)"),
    ]
    segments = plain_table(
        "\nSegments", "segment", "decided", "reward", "rank", "tau", "signs turn"
    )
    for one in document["segments"]:
        decided, reward = one["decided"], one["reward"]
        add_row(
            segments,
            one["segment"],
            change_of(f"{decided['now']:,}", f"{decided['new']:,}") + _turned(one),
            change_of(number(reward["now"]), number(reward["new"])),
            number(one["rank"]),
            number(one["tau"]),
            number(one["signs"], ".1%"),
        )
    title = "\nParts and costs"
    parts = plain_table(title, "segment", "part", "weight", "known", "mean", "tau", left=2)
    for one in document["parts"]:
        told = [
            {"weight": "-", "known": "-", "mean": "-"}
            if side is None
            else {
                "weight": f"{side['weight']:g}",
                "known": f"{side['known']:,}",
                "mean": number(side["mean"]),
            }
            for side in (one["now"], one["new"])
        ]
        cells = [change_of(told[0][key], told[1][key]) for key in ("weight", "known", "mean")]
        add_row(parts, one["segment"], one["part"], *cells, number(one["tau"], ".2f"))
    drawn = [Text(f"\npicture: {document['picture']}")] if "picture" in document else []
    return [
        *lines,
        segments,
        _learner(document),
        Text(f"left out: {document['left_out']}"),
        parts,
        *_most_changed(document["most_changed"]),
        *drawn,
    ]


def _learner(document: Mapping[str, Any]) -> Table:
    """Return what the learner would see: rewards freed of noise, weights, credit by token."""
    columns = ("segment", "reward", "weight", "credit", "signs turn")
    table = plain_table("\nAs the learner sees it", *columns)
    for one in document["segments"]:
        seen = one["learner"]
        cells = [
            change_of(number(seen[key]["now"]), number(seen[key]["new"]))
            for key in ("reward", "weight", "credit")
        ]
        add_row(table, one["segment"], *cells, number(seen["signs"], ".1%"))
    return table


def _turned(one: Mapping[str, Any]) -> str:
    """Write how many become decided and how many do not, where the counts alone do not say."""
    more, fewer = one["becomes_decided"], one["becomes_undecided"]
    return f" (+{more:,} -{fewer:,})" if more and fewer else ""


def _most_changed(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    if not rows:
        return [Text("\nno answer that is decided under both would be worth anything else")]
    table = plain_table("\nChange most", "answer", "segment", "reward", left=2)
    for one in rows:
        add_row(
            table,
            one["generation_id"],
            one["segment"],
            change_of(number(one["now"]), number(one["new"])),
        )
    return [table]
