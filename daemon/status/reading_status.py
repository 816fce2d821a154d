"""Reading status: who reads people's next messages, what waits, and what is to be scored again."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...ops.reading.reader_folder import load_state
from ...ops.reading.settings import SatisfactionSettings
from ...rewards.spec.spec import reward_spec
from ...streams.events.stage import EpisodeStage
from ...streams.rescore.rescorings_table import find_rescoring
from ...streams.state.transaction import Transaction

CLASSES = ("satisfied", "neutral", "dissatisfied")
REFUSED = (
    "too_late",
    "gone",
    "no_consent",
    "overruled",
    "read_already",
    "tenant_refuses",
    "no_reader",
)


def describe_reader(
    settings: SatisfactionSettings, folder: Path, today: Mapping[str, int]
) -> dict[str, Any]:
    """Return which reader is in use, why it is silent where it is, and the judge's budget of today.

    `budget` is None where no judge is asked.
    """
    judge, state = settings.judge, load_state(folder)
    asked = settings.reader == "judge" or bool(settings.rubrics and settings.rubric_share)
    left = {
        what: max(0, most - today.get(what, 0))
        for what, most in (("calls", judge.calls_per_day), ("tokens", judge.tokens_per_day))
    }
    return {
        "kind": settings.reader,
        "version": state.version if settings.reader == "learned" else "",
        "silent": state.silent if settings.reader == "learned" else "",
        "budget": {"judge": judge.url, "left": left} if asked else None,
    }


def describe_rescoring(view: Transaction, policy: str, spec: str) -> dict[str, Any]:
    """Return how far the answers are scored under the spec that a config names.

    `left` is how many are still to be looked at, `others` how many of those that wait for training
    have a reward by another spec. `problem` says why the spec cannot be read.
    """
    told: dict[str, Any] = {"spec": "", "looked": 0, "left": 0, "others": 0, "problem": ""}
    try:
        told["spec"] = reward_spec(spec).version
    except ValueError as problem:
        return {**told, "problem": str(problem)}
    try:
        known = find_rescoring(view, policy)
        if known is not None and known.ended is None:
            sql = "SELECT COUNT(*) FROM contents WHERE policy = ? AND id < ?"
            (told["left"],) = view.execute(sql, (policy, known.below)).fetchone()
            told["looked"] = known.looked
        (told["others"],) = view.execute(
            "SELECT COUNT(*) FROM episodes WHERE policy = ? AND spec_version <> ?"
            f" AND stage IN ('{EpisodeStage.SCORED}', '{EpisodeStage.READY}')",
            (policy, told["spec"]),
        ).fetchone()
    except sqlite3.OperationalError:
        pass  # A state that an older rlwd left: nothing was scored again there.
    return told


def reading_rows(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what `rlwd status` says of readings and of scoring again, each with its name."""
    read, reader, again = document["readings"], document["reader"], document["rescoring"]
    rows = [("reader", _reader(reader))]
    every, today = (sum(read[of].get(name, 0) for name in CLASSES) for of in ("all", "today"))
    refused = {name: count for name in REFUSED if (count := read["all"].get(name, 0))}
    told = f"{read['waiting']} wait, {every} read, {today} of them today"
    if refused:
        why = ", ".join(f"{name} {count}" for name, count in refused.items())
        told += f"; {sum(refused.values())} not read ({why})"
    if read["waiting"] or every or refused:
        rows.append(("readings", told))
    if (budget := reader["budget"]) is not None:
        left = budget["left"]
        rows.append(
            ("judge's budget", f"{left['calls']} calls, {left['tokens']} tokens left today")
        )
    if again["problem"]:
        rows.append(("reward spec", again["problem"]))
    elif again["left"] or again["others"]:
        told = f"{again['left']} to be looked at, {again['looked']} were"
        waits = f"{again['others']} that wait have a reward by another spec"
        rows.append((f"scored again by {again['spec']}", f"{told}; {waits}"))
    return rows


def _reader(reader: Mapping[str, Any]) -> str:
    if reader["silent"]:
        return f"{reader['kind']}, silent: {reader['silent']}"
    return str(reader["version"] or reader["kind"])
