"""Every part on recordings of real people, against figures worked out from the raw rows another way."""

import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from rlwd.rewards.costs.effort import effort
from rlwd.rewards.parts.copied import copied, copied_share
from rlwd.rewards.parts.kept import kept
from rlwd.rewards.parts.show_or_silent import show_or_silent
from rlwd.rewards.spec.registry import COSTS, PARTS
from rlwd.streams.events.episode import Episode, Timed, join_feedback, order_feedback
from rlwd.streams.events.event import Event, FeedbackEvent, GenerationEvent
from rlwd.streams.readers.chat import read_chat
from rlwd.streams.readers.copilot import read_copilot

HORIZONS = (15, 30, 120, 300, 600)
DECIDED = ("accepted", "interrupted", "regenerated", "show_or_silent")


def episodes(events: list[Event]) -> dict[str, Episode]:
    """Join a recording as ingest does, by answer."""
    said = defaultdict[str, list[Timed]](list)
    for event in events:
        if isinstance(event, FeedbackEvent):
            times = event.time.timestamp(), event.receivedtime.timestamp()
            one = Timed(feedback=event.data, acted_at=times[0], received_at=times[1])
            said[event.data.generation_id].append(one)
    return {
        data.generation_id: join_feedback(
            data, event.receivedtime.timestamp(), order_feedback(said[data.generation_id])
        )
        for event in events
        if isinstance(event, GenerationEvent)
        for data in (event.data,)
    }


def raw_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def values(name: str, found: dict[str, Episode]) -> list[float]:
    """Return the known values of a part."""
    asked = (PARTS[name](one) for one in found.values())
    return [value for value in asked if value is not None]


def test_suggestions_of_code(real_data: Path) -> None:
    """Decisions, keep rates by horizon, tokens and silence of the telemetry; parts whose signals it
    does not hold have no value, not one."""
    path = real_data / "copilot_telemetry.jsonl"
    by_person = defaultdict(list)
    for row in raw_rows(path):
        if row["state"] in ("Shown", "Accepted", "Rejected"):
            by_person[row["user"]].append(row)
    taken, refused, tokens = 0, 0, 0.0
    keeps: dict[int, list[float]] = {horizon: [] for horizon in HORIZONS}
    longest = list[float]()
    for mine in by_person.values():
        for row, after in itertools.pairwise([*mine, {"state": "end"}]):
            if row["state"] != "Shown":
                continue
            tokens += int(row["measurements"]["numTokens"] or 0)
            taken += after["state"] == "Accepted"
            refused += after["state"] == "Rejected"
            if after["state"] == "Accepted":
                gone = after["edit_distance_after"]
                known = {h: d for h, d in zip(HORIZONS, gone, strict=True) if d not in (None, -1)}
                for horizon, distance in known.items():
                    keeps[horizon].append(max(0.0, 1.0 - distance))
                longest += [max(0.0, 1.0 - known[max(known)])] if known else []
    found = episodes(list(read_copilot(path)))
    assert taken > 200
    assert refused > 200
    for name in ("accepted", "show_or_silent"):
        assert len(values(name, found)) == taken + refused
        assert sum(values(name, found)) == taken
    for name in ("interrupted", "regenerated"):
        assert values(name, found) == [1.0] * (taken + refused)
    assert values("undone", found) == [1.0] * taken
    for horizon, keep in keeps.items():
        asked = [kept(one, horizon_seconds=float(horizon)) for one in found.values()]
        known_values = [value for value in asked if value is not None]
        assert len(known_values) == len(keep)
        assert sum(known_values) == pytest.approx(sum(keep))
    assert sum(values("kept", found)) == pytest.approx(sum(longest))
    silent = [one for one in found.values() if show_or_silent(one, tau=0.25) == 0.25]
    assert not silent, "what was shown is no silence"
    written = [effort(one, k=0.0) for one in found.values()]
    assert sum(value or 0.0 for value in written) == tokens
    for name in PARTS.keys() - {*DECIDED, "undone", "kept"}:
        assert values(name, found) == [], name


def test_copies_out_of_chats(real_data: Path) -> None:
    """Which answers were copied from and how much of each; nobody decided on one."""
    path = real_data / "chat_sessions.jsonl"
    some, shares = 0, list[float]()
    for row in raw_rows(path):
        texts = {(one["copied"] or "").strip() for one in row["copy_events"]} - {""}
        some += bool(texts)
        intervals = sorted(
            (row["response"].find(text), row["response"].find(text) + len(text))
            for text in texts
            if text in row["response"]
        )
        covered, end = "", 0
        for low, high in intervals:
            covered += row["response"][max(low, end) : high]
            end = max(end, high)
        said = len("".join(row["response"].split()))
        if covered:
            shares.append(len("".join(covered.split())) / said)
    found = episodes(list(read_chat(path)))
    assert len(shares) > 100
    assert sum(copied(one) or 0.0 for one in found.values()) == some
    known = [value for one in found.values() if (value := copied_share(one)) is not None]
    assert len(known) == len(shares)
    assert sum(known) == pytest.approx(sum(shares))
    for name in PARTS.keys() - {"copied", "copied_share"}:
        assert values(name, found) == [], name


@pytest.mark.parametrize("file", ["copilot_telemetry.jsonl", "chat_sessions.jsonl"])
def test_costs_are_numbers_of_at_least_0(real_data: Path, file: str) -> None:
    """On every real answer."""
    reader = read_copilot if file.startswith("copilot") else read_chat
    found = episodes(list(reader(real_data / file))).values()
    for name, cost in COSTS.items():
        known = [value for one in found if (value := cost(one)) is not None]
        assert all(0.0 <= value < 1e6 for value in known), name
