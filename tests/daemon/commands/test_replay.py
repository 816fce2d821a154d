"""Replay: recorded feedback of real people gives the numbers that are in the raw file.

The numbers are worked out here from the rows alone, by other means than the adapters'.
"""

import itertools
import json
import math
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kafka_server import KafkaServer
from ledger_by_hand import generation

from rlwd.daemon.commands.replay import (
    FEEDBACK,
    GENERATIONS,
    POLICY,
    describe_replay,
    drain,
    replay,
    write_log,
)
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import reward_spec
from rlwd.streams.join.ingest import Ingest
from rlwd.streams.join.joiner import Joiner
from rlwd.streams.log.kafka_source import KafkaSettings, KafkaSink, KafkaSource
from rlwd.streams.open import open_store

HORIZONS = ("15", "30", "120", "300", "600")


def by_hand(path: Path) -> dict[str, Any]:
    """Accepts, rejects, undecided and mean keep rates of the telemetry, straight from its rows."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    states = Counter(row["state"] for row in rows)
    # A Shown row is decided if, among its person's Shown and decision rows, a decision is next.
    people = defaultdict(list)
    for row in rows:
        if row["state"] in ("Shown", "Accepted", "Rejected"):
            people[row["user"]].append(row["state"])
    undecided = sum(
        first == "Shown" and second in ("Shown", None)
        for own in people.values()
        for first, second in itertools.pairwise([*own, None])
    )
    kept: dict[str, list[float]] = {name: [] for name in HORIZONS}
    for row in rows:
        if row["state"] == "Accepted":
            for name, distance in zip(HORIZONS, row["edit_distance_after"], strict=True):
                if distance is not None and distance >= 0:
                    kept[name].append(1 - min(distance, 1.0))
    return {
        "generations": states["Shown"],
        "accepted": states["Accepted"],
        "rejected": states["Rejected"],
        "undecided": undecided,
        "kept": {name: math.fsum(values) / len(values) for name, values in kept.items()},
    }


def check(report: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Hold a replay's report against the numbers worked out by hand."""
    assert report["generations"] == wanted["generations"]
    assert report["accepted"] == wanted["accepted"]
    assert report["rejected"] == wanted["rejected"]
    assert report["fates"]["censored:no_decision"] == wanted["undecided"]
    assert sum(report["fates"].values()) == wanted["generations"]
    assert report["dead_letters"] == 0
    assert list(report["kept"]) == list(HORIZONS)
    assert report["kept"] == pytest.approx(wanted["kept"])


def test_telemetry_gives_the_numbers_of_the_raw_file(real_data: Path, tmp_path: Path) -> None:
    """Replaying it, and replaying it again into the same state, gives what the rows say."""
    telemetry = real_data / "copilot_telemetry.jsonl"
    check(replay(telemetry, "copilot", tmp_path), by_hand(telemetry))
    again = replay(telemetry, "copilot", tmp_path)
    check(again, by_hand(telemetry))
    assert again["duplicates"] > 0


@pytest.mark.kafka
def test_telemetry_through_kafka_gives_the_same_rewards(
    real_data: Path, tmp_path: Path, kafka_server: KafkaServer
) -> None:
    """The way over a real broker changes no number."""
    telemetry = real_data / "copilot_telemetry.jsonl"
    kafka_server.create_topics([GENERATIONS, FEEDBACK], partitions=3)
    settings = KafkaSettings(bootstrap_servers=(kafka_server.bootstrap,), group_id="replay")
    write_log(KafkaSink(settings), telemetry, "copilot")
    spec = reward_spec("")
    store = open_store(tmp_path / "rlwd.db")
    joiner = Joiner(POLICY, Scorer(spec), spec.decision_seconds)
    ingest = Ingest(store, joiner, partial(KafkaSource, settings, (GENERATIONS, FEEDBACK)))
    drain(ingest)
    ingest.source.close()
    check(describe_replay(store), by_hand(telemetry))
    embedded = replay(telemetry, "copilot", tmp_path / "embedded")
    assert describe_replay(store)["reward"] == pytest.approx(embedded["reward"])
    store.close()


def test_chats_give_their_copies(real_data: Path, tmp_path: Path) -> None:
    """Each exchange is a generation; nobody decided on one, and what was copied is counted."""
    chats = real_data / "chat_sessions.jsonl"
    rows = [json.loads(line) for line in chats.read_text().splitlines()]
    report = replay(chats, "chat", tmp_path)
    assert report["generations"] == len(rows)
    assert report["copied"] == sum(len(row["copy_events"]) for row in rows)
    assert report["fates"] == {"censored:no_decision": len(rows)}


def test_unknown_formats_and_unreadable_rows_are_named(tmp_path: Path) -> None:
    """The caller is told which format is not known, or which line cannot be read."""
    with pytest.raises(ValueError, match="no such format; known: atif, chat, claude-code, "):
        replay(tmp_path / "any", "csv", tmp_path / "state")
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"user": "a"}\n')
    with pytest.raises(ValueError, match=r"broken.jsonl:1"):
        replay(broken, "copilot", tmp_path / "state")


def test_bad_lines_of_recorded_events_are_dead_lettered(tmp_path: Path) -> None:
    """A recording of our own events goes through as it is: what cannot be read is counted."""
    file = tmp_path / "events.jsonl"
    good = generation("g", 0.0) + b"\n"
    file.write_bytes(good + b'{"type": "rlwd.generation.v9"}\nnonsense\n')
    assert replay(file, "events", tmp_path / "state")["dead_letters"] == 2
