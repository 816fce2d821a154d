"""Status: `rlwd status`, what the state database says, as tables or as JSON."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ...learner.ledger.learnable import unlearnable
from ...ops.drift.drift_budget import day_problem
from ...ops.flags.flag_reach import FlagReach, read_reach
from ...ops.rollout import experiments_table, rollouts_table
from ...ops.rollout.crowd import crowd_problem
from ...ops.rollout.problems import release_problems
from ...ops.tool_errors.outages import read_outages
from ...streams.state.lease import read_holder
from ...streams.state.transaction import Transaction
from ..began_with import BeganWith
from ..config import Config
from ..shown_json import shown_json
from ..status.loop_rows import loop_rows
from ..status.reading_status import describe_reader, describe_rescoring
from ..status.shown_text import shown
from ..status.snapshot import describe, describe_reach, difference_of, users_on_trial
from ..store import state_view

EXPERIMENTS_SHOWN = 5


def print_status(config: Config, as_json: bool, console: Console | None = None) -> None:
    """Print records, fates, batches, versions and who is in charge; the daemon may run or not.

    Raises ValueError where there is no state database; none is made.
    """
    document = status_document(config, time.time())
    if as_json:
        print(shown_json(document))
        return
    console = console or Console()
    for part in status_tables(document):
        console.print(part)


def status_document(config: Config, now: float) -> dict[str, Any]:
    """Return what `describe` says, and who holds the lease under `lease`.

    Raises ValueError where there is no state database, or it is not one of rlwd's.
    """
    place = config.state_database
    with state_view(place) as view:
        try:
            holder = read_holder(view, config.policy, now)
            lease = None if holder is None else msgspec.to_builtins(holder)
            problems = release_problems(view, config.policy, config.rollout, now)
            horizon = config.comparison.horizon_seconds or 0.0
            problems |= crowd_problem(view, config.policy, config.rollout, horizon)
            if drifted := day_problem(view, config.policy, config.learner.drift.day_kl, now):
                problems["drift_budget"] = drifted
            if answers := unlearnable(view, config.policy):
                problems["answers"] = answers
            problems |= _parent(config)
            window = config.tool_errors.window_seconds
            outages = read_outages(view, config.policy, window, now)
            held = _held(view, config.policy)
            flags = _reach(view, config, now, listening=holder is not None and holder.alive)
            if flags is not None and (late := flags.problem(now)):
                problems["gateways"] = late
            found = describe(view, config.policy)
            readers, read = config.state_path / "readers", found["readings"]["today"]
            return {
                **found,
                "reader": describe_reader(config.satisfaction, readers, read),
                "rescoring": describe_rescoring(view, config.policy, config.reward_spec),
                "outages": {
                    **msgspec.to_builtins(outages),
                    "excused": outages.excused,
                    "say": outages.say,
                },
                "lease": lease,
                "problems": problems,
                "held": None if held is None else held.sentence,
                "began_with": _since(config),
                **_experiments(view, config.policy),
                "flags": None if flags is None else describe_reach(flags, now),
            }
        except sqlite3.Error as problem:
            if _is_ours(view):
                older = f"an older rlwd left it ({problem}): `rlwd run` migrates it"
                raise ValueError(f"{place}: {older}") from None
            raise ValueError(f"{place}: is not a state database of this rlwd: {problem}") from None


def _is_ours(view: Transaction) -> bool:
    """Return whether an rlwd made the tables, of whatever version."""
    try:
        return bool(view.execute("SELECT COUNT(*) FROM migrations").fetchone()[0])
    except sqlite3.Error:
        return False


def _held(view: Transaction, policy: str) -> rollouts_table.Hold | None:
    try:
        return rollouts_table.hold(view, policy)
    except sqlite3.OperationalError:
        return None  # A state that an older rlwd left: nothing could be held there.


def _experiments(view: Transaction, policy: str) -> dict[str, Any]:
    try:
        found = experiments_table.history(view, policy, limit=EXPERIMENTS_SHOWN)
        waits = experiments_table.aa_under_way(view, policy)
    except sqlite3.OperationalError:
        found, waits = [], None  # Likewise: none could be started there.
    return {
        "experiments": msgspec.to_builtins(found),
        "experiments_say": [one.sentence for one in found],
        "waits": None if waits is None else f"versions wait until it ends: {waits.sentence}",
    }


def _parent(config: Config) -> dict[str, str]:
    try:
        taken_back = BeganWith(config).problem()
    except (OSError, ValueError, sqlite3.Error):
        return {}  # On another host than the parent's; `rlwd doctor` says so.
    return {"parent": taken_back} if taken_back else {}


def _since(config: Config) -> dict[str, Any] | None:
    try:
        found = BeganWith(config).since()
    except (OSError, ValueError, sqlite3.Error):
        return None  # Likewise.
    return None if found is None else msgspec.to_builtins(found)


def _reach(view: Transaction, config: Config, now: float, *, listening: bool) -> FlagReach | None:
    try:
        return read_reach(view, config.policy, config.flags_path, now, listening=listening)
    except sqlite3.OperationalError:
        return None  # Likewise: nobody wrote down who asked.


def status_tables(document: Mapping[str, Any]) -> list[RenderableType]:
    """Return the page: one line on who is in charge, then the tables that hold something."""
    return [
        Text(f"policy {document['policy']}: {_in_charge(document['lease'])}"),
        *([] if document["held"] is None else [shown(f"held by hand: {document['held']}")]),
        *([] if document["began_with"] is None else [shown(document["began_with"]["say"])]),
        *([] if document["waits"] is None else [shown(document["waits"])]),
        *(shown(line) for line in document["experiments_say"]),
        *(shown(f"problem, {name}: {why}") for name, why in document["problems"].items()),
        *(shown(line) for line in document["outages"]["say"]),
        *([] if document["flags"] is None else [Text(f"flags: {document['flags']['said']}")]),
        _records(document["records"]),
        _fates(document),
        _versions(document["versions"]),
        *_gate(document["versions"]),
        _facts(document),
    ]


def _in_charge(lease: Mapping[str, Any] | None) -> str:
    if lease is None:
        return "no daemon was ever in charge"
    if not lease["alive"]:
        return f"no daemon is in charge (epoch {lease['epoch']} is over)"
    return f"process {lease['pid']} on {lease['host']} is in charge (epoch {lease['epoch']})"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
    for number, column in enumerate(columns):
        # The first column is a name to copy: it stays in one piece.
        first = number == 0
        table.add_column(
            column, justify="left" if first else "right", overflow="fold", no_wrap=first
        )
    return table


def _row(table: Table, *cells: str) -> None:
    # As text: a reason that somebody wrote may hold what the console takes for markup.
    table.add_row(*map(shown, cells))


def _records(records: Mapping[str, Mapping[str, int]]) -> Table:
    outcomes = ("delivered", "accepted", "duplicate", "dead_lettered")
    table = _table("\nRecords", "partition", *(name.replace("_", "-") for name in outcomes))
    for partition, counts in records.items():
        _row(table, partition, *(str(counts[name]) for name in outcomes))
    return table


def _fates(document: Mapping[str, Any]) -> Table:
    table = _table("\nGenerations", "fate", "count", "share")
    total = document["generations"]
    for fate, count in document["fates"].items():
        _row(table, fate, str(count), f"{count / max(total, 1):.1%}")
    _row(table, "all", str(total), "")
    return table


def _versions(versions: list[Mapping[str, Any]]) -> Table:
    table = _table("\nVersions", "version", "stage", "candidate - control", "users", "why")
    table.columns[-1].justify = "left"
    for version in versions:
        numbers = version["numbers"]
        diff = numbers.get("ab/diff")
        _row(
            table,
            version["version"],
            version["stage"],
            difference_of(diff, numbers.get("ab/standard_error")),
            users_on_trial(numbers),
            version["why"],
        )
    return table


def _gate(versions: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """Return what the gate said of the newest version that it judged, with its evidence."""
    judged = [version for version in versions if version["gate"] is not None]
    if not judged:
        return []
    newest = judged[-1]
    table = _table(f"\nGate, {newest['version']}: {newest['gate']['outcome']}", "evidence", "")
    for reason in newest["gate"]["reasons"]:
        _row(table, "", reason)
    for name, value in sorted(newest["gate"]["numbers"].items()):
        # What is carried on to the next versions is for the gate, and in the JSON.
        if "/line_" not in name:
            _row(table, name, f"{value:.4g}")
    return [table]


def _facts(document: Mapping[str, Any]) -> Table:
    table = _table("\nLoop", "what", "now")
    table.show_header = False
    for name, told in loop_rows(document):
        _row(table, name, told)
    return table
