"""Three weeks of a product on the embedded log, with what goes wrong in the last: two versions, tools, logs."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path

from ledger_by_hand import feedback, generation

from rlwd.daemon.config import Config, load_config
from rlwd.daemon.store import state_store
from rlwd.daemon.wire import joiner
from rlwd.daemon.wire_log import event_source
from rlwd.ops.servers.process import free_port
from rlwd.ops.tool_errors.watch import ToolWatch
from rlwd.streams.events.signals import Accepted, ToolResult, Undone
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.log.embedded_log import EmbeddedSink

OLD, NEW = "policy@v000001-aaaaaaaa", "policy@v000002-bbbbbbbb"
DAY = 86_400.0
PEOPLE, WEEKS = 44, 3
CONFIG = """\
state = "state"
retention_days = 400
[learner]
model = "nothing-here"
[http]
port = {port}
[engine]
urls = ["http://127.0.0.1:1"]
[tool_errors]
baseline_days = 60
[triage]
logs = ["logs/*.log*"]
{triage}
"""
MINE = "my holiday plans"
"""What a person wrote, which no report may hold."""


def write_config(folder: Path, triage: str = "") -> Config:
    """Write the config of a daemon without engine or model."""
    path = folder / "rlwd.toml"
    path.write_text(CONFIG.format(port=free_port(), triage=triage))
    (folder / "state").mkdir(exist_ok=True)
    return load_config(path)


def write_weeks(folder: Path, until_day: int, triage: str = "") -> Config:
    """Write the records and the log lines of the weeks before a day.

    `search` fails for one in twenty as invalid arguments, and in the last week for most people of the new
    version, which has half of them; `mail`, which nobody called before, is out of order on its last three days.
    """
    config, chance = write_config(folder, triage), random.Random(7)
    sink = EmbeddedSink(config.log_path)
    for day in range(until_day - 7 * WEEKS, until_day):
        last = day >= until_day - 7
        for person in range(PEOPLE):
            at = day * DAY + 36_000 + person
            version = NEW if last and person % 2 else OLD
            name = f"g{day}.{person}"
            more = {"user_hash": f"user{person}", "user_named": True, "version": version}
            sink.send(config.stream.generations, name, generation(name, at, **more))
            bad = 0.5 if version == NEW else 0.05
            calls = [("search", "invalid_arguments" if chance.random() < bad else None)]
            if last and person < 10:
                calls.append(("mail", "provider_error" if day >= until_day - 3 else None))
            for tool, error in calls:
                said = ToolResult(tool=tool, error_class=error)  # type: ignore[arg-type]
                told = feedback(f"{name}.{tool}", name, said, at + 1.0, acted=at)
                sink.send(config.stream.feedback, name, told)
            kept = Undone() if chance.random() < 0.02 else Accepted()
            sink.send(config.stream.feedback, name, feedback(f"{name}.k", name, kept, at + 2.0))
    sink.send(config.stream.feedback, MINE, json.dumps({"said": MINE}).encode())
    sink.flush(10.0)
    sink.close()
    write_log_lines(folder / "logs", until_day)
    return config


def write_log_lines(folder: Path, until_day: int) -> None:
    """Write the daemon's lines: one warning each day as ever, and in the last week one that is new."""
    folder.mkdir(exist_ok=True)
    lines = []
    for day in range(until_day - 7 * WEEKS, until_day):
        lines.append(_line(day, "info", "started"))
        lines.append(_line(day, "warning", "engine_away", problem=f"http://10.0.0.{day % 9}:8000"))
        if day >= until_day - 7:
            told = {"problem": f"slot {day} of '{MINE}' is full", "generation": f"g{day}.3"}
            lines.append(_line(day, "error", "spool_full", **told))
    half = len(lines) // 2
    (folder / "daemon.log.1").write_text("".join(lines[:half]))
    (folder / "daemon.log").write_text("".join(lines[half:]) + "not JSON at all\n")


def join_weeks(config: Config) -> None:
    """Take in what the log holds, as the daemon does, and count what tools answered."""
    store = state_store(config)
    ingest = Ingest(store, joiner(config), lambda resume: event_source(config, resume))
    now = datetime.now(UTC).timestamp()
    for _ in range(10):
        ingest.step(now, 0.0, 5000)
    ToolWatch(store, config.policy, config.tool_errors, grace_seconds=0.0).look()
    ingest.source.close()
    store.close()


def _line(day: int, level: str, message: str, **more: object) -> str:
    at = datetime.fromtimestamp(day * DAY + 40_000, UTC).isoformat().replace("+00:00", "Z")
    told = {"process": "daemon", "time": at, "level": level, "message": message, **more}
    return json.dumps(told) + "\n"
