"""Experiment runs: what an operator starts, ends and reads of experiments, from the command line."""

import getpass
import socket
import time
from collections.abc import Callable, Sequence

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from ...ops.experiments.start import end_experiment, start_aa, start_harness
from ...ops.rollout import experiments_table
from ...ops.rollout.controller import RolloutController
from ...ops.stages.experiment import Experiment, ExperimentKind, MetricReading
from ...streams.state.lease import keep_daemon_waiting
from ...streams.state.transaction import Transaction
from ..by_hand.flag_wait import FLAG_SECONDS, wait_for_flags
from ..config import Config
from ..shown_json import shown_json
from ..status.shown_text import shown
from ..store import existing_store, state_view


def run_aa(config: Config, *, share: float, days: float, by: str, why: str) -> int:
    """Start an A/A, or say that one goes on; return 1 where the flag file does not say so yet."""

    def start(tx: Transaction, who: str, now: float) -> Experiment:
        seconds = days * 86_400.0
        return start_aa(tx, config.policy, share=share, seconds=seconds, by=who, why=why, now=now)

    return _decided(config, by, start)


def run_start(
    config: Config, name: str, arms: str, *, share: float, days: float, by: str, why: str
) -> int:
    """Start an experiment on the product; return 1 where the flag file does not say so yet."""
    named = tuple(arm.strip() for arm in arms.split(","))

    def start(tx: Transaction, who: str, now: float) -> Experiment:
        seconds = days * 86_400.0
        return start_harness(
            tx,
            config.policy,
            name,
            named,
            share=share,
            seconds=seconds,
            by=who,
            why=why,
            now=now,
        )

    return _decided(config, by, start)


def run_end(config: Config, name: str, *, by: str, why: str) -> int:
    """End an experiment, the A/A where no name is given; again it says who ended it."""

    def end(tx: Transaction, who: str, now: float) -> Experiment:
        return end_experiment(tx, config.policy, name, by=who, why=why, now=now)

    return _decided(config, by, end)


def print_experiments(config: Config, name: str, *, kind: ExperimentKind, as_json: bool) -> None:
    """Print what is known of an experiment, or the last one of a kind where no name is given.

    Raises ValueError where there is none.
    """
    with state_view(config.state_database) as view:
        past = experiments_table.history(view, config.policy)
    found = [one for one in past if one.kind is kind and name in ("", one.name)]
    if not found:
        raise ValueError(f"{name or kind}: no such experiment was started")
    if as_json:
        document = {**msgspec.to_builtins(found[-1]), "says": found[-1].sentence}
        print(shown_json(document))
        return
    console = Console()
    for line in _lines(found[-1]):
        console.print(shown(line))
    if found[-1].readings:
        console.print(_table(found[-1].readings))


def _decided(config: Config, by: str, do: Callable[[Transaction, str, float], Experiment]) -> int:
    who = by or f"{getpass.getuser()}@{socket.gethostname()}"
    controller = RolloutController(config.policy, config.rollout)
    store = existing_store(config)
    try:
        with store.transaction() as tx:
            keep_daemon_waiting(tx, config.policy)
            found = do(tx, who, time.time())
        flagged, writer = wait_for_flags(config, store, controller, FLAG_SECONDS)
    finally:
        store.close()
    print(found.sentence)
    told = "says so, written by" if flagged else "does not say so yet, and is to be written by"
    print(f"{config.flags_path} {told} {writer}")
    return 0 if flagged else 1


def _lines(found: Experiment) -> list[str]:
    lines = [found.sentence, f"{found.outcome or 'not looked at yet'}: {found.verdict or '-'}"]
    if found.kind is ExperimentKind.AA:
        alarms = "; ".join(found.false_alarms) or "none"
        lines.append(f"false alarms in {found.looks} looks: {alarms}")
    elif found.split_broken:
        lines.append("the users are not split as the arms are: the measurement is broken")
    if found.mismatched:
        lines.append(
            f"{found.mismatched} answers came with another harness than their user's arm: does the"
            " product send the arm as X-Rlwd-Harness?"
        )
    return lines


def _table(readings: Sequence[MetricReading]) -> Table:
    table = Table(box=box.SIMPLE, title="Each arm against the first", title_justify="left")
    table.add_column("metric", no_wrap=True)
    for name in ("arm", "value", "first arm", "change", "from", "to", "sd of a user", "users"):
        table.add_column(name, justify="right")
    for one in readings:
        numbers = (
            _number(one.value, ".4g"),
            _number(one.control, ".4g"),
            _number(one.change, "+.2%"),
            _number(one.low, "+.2%"),
            _number(one.high, "+.2%"),
            _number(one.user_deviation, ".3g"),
            str(one.users),
        )
        table.add_row(*map(shown, (one.name, one.arm, *numbers)))
    return table


def _number(value: float | None, style: str) -> str:
    return "" if value is None else format(value, style)
