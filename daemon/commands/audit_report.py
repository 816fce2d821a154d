"""Audit report: what `rlwd audit` prints, as a table or as JSON."""

from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...learner.checkpoint.folder import read_manifests
from ..audit.audit import Audit, audit
from ..config import Config
from ..own_part import own_learning, own_topics
from ..shown_json import shown_json
from ..store import existing_store


def run_audit(config: Config, *, as_json: bool, answers: bool = False) -> int:
    """Print the audit, with `answers` every one that a version learned from; 1 where it does not close."""
    store = existing_store(config)
    with store.reading() as view:
        found = audit(
            view,
            config.policy,
            read_manifests(config.state_path / "checkpoints"),
            config.spools,
            topics=own_topics(config),
            may_learn=own_learning(config),
        )
    store.close()
    if as_json:
        told = found.as_document()
        if answers:
            told["learned_from"] = [asdict(one) for one in found.learned_from]
        print(shown_json(told))
    else:
        _print(Console(), found)
        _print_learned(found, answers=answers)
    return 0 if found.closes else 1


def _print(console: Console, found: Audit) -> None:
    records = Table(title="Records", title_justify="left", box=None, header_style="dim")
    for name in ("partition", "delivered", "accepted", "duplicate", "dead-lettered", "closes"):
        records.add_column(name, justify="left" if name == "partition" else "right")
    for row in found.records:
        numbers = (row.delivered, row.accepted, row.duplicate, row.dead_lettered)
        records.add_row(escape(row.partition), *map(str, numbers), _mark(row.closes))
    fates = Table(title="Generations", title_justify="left", box=None, header_style="dim")
    for name in ("day", "variant", "served", "known", "lost at gateway", "fates", "closes"):
        # A name that is cut is none that could be looked up: one fate a line, and whole.
        fates.add_column(name, no_wrap=name in ("day", "variant", "fates"))
    for day in found.generations:
        parts = "\n".join(f"{name} {count}" for name, count in day.fates.items())
        fates.add_row(
            day.day,
            escape(day.variant),
            *map(str, (day.served, day.generations, day.lost_at_gateway)),
            escape(parts),
            _mark(day.closes),
        )
    console.print(records)
    console.print(fates)
    taught = ", ".join(f"{lane} {count}" for lane, count in found.trained_by_lane.items())
    console.print(f"trained, by lane: {taught or 'none'}", markup=False)
    for key, count in found.lost_at_gateway.items():
        console.print(f"lost at the gateway: {count} of {key}", markup=False)
    for partition, count in found.gaps.items():
        console.print(f"given up by an operator: {count} offsets of {partition}", markup=False)
    for partition, count in found.rewound.items():
        said = f"the log of {partition} lost its end: reading went back by {count} offsets"
        console.print(said, markup=False)
    for problem in found.problems:
        console.print(f"[red]{escape(problem)}[/]")
    console.print("everything closes" if found.closes else "[red]it does not close[/]")


def _print_learned(found: Audit, *, answers: bool) -> None:
    """Print whose answers each version learned from; v0 where it began with another policy's weights."""
    for one in found.learned_from:
        if one.answers or one.parent:
            whose = f"{len(one.answers)} of tenant {one.tenant}, {one.segment}"
            beyond = f" beyond {one.parent}" if one.parent else ""
            print(f"{one.version} learned from {whose if one.answers else 'none'}{beyond}")
        for name in one.answers if answers else ():
            print(f"  {name}")


def _mark(closes: bool) -> str:
    return "yes" if closes else "[red]NO[/]"
