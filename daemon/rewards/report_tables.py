"""Report tables: coverage, agreement, segments and weeks, in a terminal of 80 columns."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from .reward_tables import add_row, number, plain_table


def report_tables(document: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the report's tables."""
    total = document["answers"]
    yield Text(f"{total:,} answers under {document['spec']}")
    yield _coverage(document)
    yield from _agreement(document)
    yield _parts(document)
    yield _weeks(document)
    yield _specs(document)
    yield from _held_back(document)


def _coverage(document: Mapping[str, Any]) -> Any:
    table = plain_table("\nSignals", "signal", "segment", "answers", "share", left=2)
    for kind in document["coverage"]:
        for name, one in document["segments"].items():
            count = one["coverage"].get(kind, 0)
            add_row(table, kind, name, f"{count:,}", f"{count / one['answers']:.1%}")
    if not document["coverage"]:
        add_row(table, "none", "", "", "")
    return table


def _agreement(document: Mapping[str, Any]) -> Iterator[Any]:
    if not document["agreement"]:
        yield Text("\nno answer has two parts that could agree")
        return
    table = plain_table(
        "\nAgreement (both for the answer, or both against it)",
        "part",
        "part",
        "both known",
        "agree",
        left=2,
    )
    for one in document["agreement"]:
        add_row(table, *one["parts"], f"{one['answers']:,}", f"{one['agree']:.1%}")
    yield table


def _parts(document: Mapping[str, Any]) -> Any:
    table = plain_table("\nRewards and parts", "segment", "part", "known", "share", "mean", left=2)
    for name, one in document["segments"].items():
        rows = [("reward", {"known": one["decided"], "mean": one["reward"]}), *one["parts"].items()]
        for part, told in rows:
            share = f"{told['known'] / one['answers']:.1%}"
            add_row(table, name, part, f"{told['known']:,}", share, number(told["mean"]))
    return table


def _weeks(document: Mapping[str, Any]) -> Any:
    table = plain_table("\nWeeks", "week", "answers", "decided", "reward", "drifted")
    table.columns[-1].justify, table.columns[-1].no_wrap = "left", False
    for one in document["weeks"]:
        add_row(
            table,
            one["week"],
            f"{one['answers']:,}",
            f"{one['decided'] / one['answers']:.1%}",
            number(one["reward"]),
            ", ".join(one["drifted"]) or "-",
        )
    return table


def _specs(document: Mapping[str, Any]) -> Any:
    table = plain_table("\nRewards in comparisons, by spec", "spec", "answers", "content forgotten")
    for one in document["specs"]:
        add_row(table, one["spec"] or "-", f"{one['answers']:,}", f"{one['forgotten']:,}")
    return table


def _held_back(document: Mapping[str, Any]) -> Iterator[Any]:
    """Yield who was weighed down and why; the whole hash, since it is what is looked up."""
    if not document["held_back"]:
        yield Text("\nno user's sealed answers were weighed down")
        return
    yield Text("\nUsers whose sealed answers were weighed down (see docs/trust.md)")
    for one in document["held_back"]:
        why = ", ".join(f"{name} {count:,}" for name, count in one["weighed_down_by"].items())
        known = one["agreement"]
        agrees = "unknown" if known is None else f"{known:+.1f} standard errors"
        yield Text(f"{one['tenant'] or '-'} {one['user_hash']}")
        yield Text(f"  {one['answers']:,} answers weigh {one['weigh']:,.1f}: {why}")
        yield Text(f"  agreement with others: {agrees}")
