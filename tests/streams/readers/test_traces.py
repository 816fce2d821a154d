"""Recorded rows become events: the rules one by one, then the real recordings.

Numbers of the real recordings are worked out here from the raw files, another way than the adapters
do it.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rlwd.streams.events.event import (
    Event,
    FeedbackEvent,
    GenerationEvent,
    MalformedEvent,
    decode_event,
    encode_event,
)
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.signals import Copied, Kept, kind_of
from rlwd.streams.readers.formats import MalformedRow, read_chat, read_copilot, read_events

MEASURED = [0.0, 0.25, None, -1, 1.7]


def row(user: str, second: int, state: str, text: str = "x = 1", **more: Any) -> dict[str, Any]:
    return {
        "user": user,
        "time": f"2022-08-08T16:{second // 60:02}:{second % 60:02}.000Z",
        "state": state,
        "suggestion": text,
        "edit_distance_after": MEASURED,
        "measurements": {"numTokens": 4.0, "confidence": 0.5},
        "task": "plots",
        **more,
    }


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def said(events: Iterable[Event]) -> list[str]:
    """Kinds of events, feedback without the horizons."""
    return [
        kind_of(event.data.signal) if isinstance(event, FeedbackEvent) else event.data.text
        for event in events
    ]


def generations(events: Iterable[Event]) -> list[Generation]:
    return [event.data for event in events if isinstance(event, GenerationEvent)]


def kinds_by_generation(events: list[Event]) -> dict[str, list[str]]:
    """Text of each generation, with the kinds of what was said about it."""
    result: dict[str, list[str]] = {each.generation_id: [] for each in generations(events)}
    for event in events:
        if isinstance(event, FeedbackEvent):
            result[event.data.generation_id].append(kind_of(event.data.signal))
    texts = {each.generation_id: each.text for each in generations(events)}
    return {texts[key]: kinds for key, kinds in result.items()}


def test_a_decision_belongs_to_the_suggestion_shown_before_it(tmp_path: Path) -> None:
    """Pairs go by the file's order, per person, though the persons' rows are mixed."""
    path = write_rows(
        tmp_path / "t.jsonl",
        [
            row("a", 0, "Shown", "A1"),
            row("b", 1, "Shown", "B1"),
            row("a", 2, "Replay", "A1"),
            row("b", 3, "Rejected", "B1"),
            row("a", 4, "Browsing", "A1"),
            row("a", 5, "Accepted", "A1 cut", edit_distance_after=None),
        ],
    )
    assert kinds_by_generation(list(read_copilot(path))) == {"A1": ["accepted"], "B1": ["rejected"]}


def test_a_suggestion_that_nobody_decided_has_no_feedback(tmp_path: Path) -> None:
    """Shown after Shown leaves the first alone; the decision is on the second."""
    path = write_rows(
        tmp_path / "t.jsonl",
        [
            row("a", 0, "Shown", "first"),
            row("a", 5, "Shown", "second"),
            row("a", 9, "Rejected", "second"),
            row("a", 12, "Shown", "last"),
        ],
    )
    assert kinds_by_generation(list(read_copilot(path))) == {
        "first": [],
        "second": ["rejected"],
        "last": [],
    }


def test_a_decision_without_a_suggestion_names_a_generation_that_never_comes(
    tmp_path: Path,
) -> None:
    """It is neither dropped nor given to a decided suggestion: the join dead-letters it."""
    path = write_rows(
        tmp_path / "t.jsonl",
        [
            row("b", 0, "Accepted", edit_distance_after=None),
            row("a", 1, "Shown", "A"),
            row("a", 2, "Accepted", "A", edit_distance_after=None),
            row("a", 3, "Rejected", "A"),
        ],
    )
    events = list(read_copilot(path))
    (known,) = [each.generation_id for each in generations(events)]
    about = [event.data.generation_id for event in events if isinstance(event, FeedbackEvent)]
    assert about.count(known) == 1
    assert len(set(about)) == 3


def test_keep_rates_come_from_the_accepted_row(tmp_path: Path) -> None:
    """1 minus the distance, clipped; null and below 0 are not measured; rejected ones have none."""
    path = write_rows(
        tmp_path / "t.jsonl",
        [
            row("a", 0, "Shown", edit_distance_after=[0.5] * 5),
            row("a", 4, "Accepted", edit_distance_after=[0.0, 0.25, None, -1, 1.7]),
            row("a", 700, "Shown", edit_distance_after=[0.0] * 5),
            row("a", 705, "Rejected", edit_distance_after=[0.0] * 5),
        ],
    )
    events = [event for event in read_copilot(path) if isinstance(event, FeedbackEvent)]
    kept = [
        (event.data.signal.horizon_seconds, event.data.signal.fraction, event.receivedtime)
        for event in events
        if isinstance(event.data.signal, Kept)
    ]

    def at(second: int) -> datetime:
        return datetime(2022, 8, 8, 16, second // 60, second % 60, tzinfo=UTC)

    assert kept == [(15.0, 1.0, at(19)), (30.0, 0.75, at(34)), (600.0, 0.0, at(604))]


def test_a_clock_that_runs_backwards_does_not_undo_the_order(tmp_path: Path) -> None:
    """Receive times of one person never fall; times of the act stay as they were recorded."""
    path = write_rows(
        tmp_path / "t.jsonl",
        [
            row("a", 30, "Shown", "one", edit_distance_after=None),
            row("a", 20, "Accepted", "one", edit_distance_after=None),
            row("b", 10, "Shown", "other"),
            row("a", 40, "Shown", "two"),
        ],
    )
    events = list(read_copilot(path))
    assert said(events) == ["other", "one", "accepted", "two"]
    assert [event.receivedtime.second for event in events] == [10, 30, 30, 40]
    assert [event.time.second for event in events] == [10, 30, 20, 40]


def test_events_come_in_the_order_of_receipt(tmp_path: Path) -> None:
    """A keep rate measured later comes after what was shown meanwhile, so no horizon closes early."""
    path = write_rows(
        tmp_path / "t.jsonl",
        [
            row("a", 0, "Shown", "one"),
            row("a", 1, "Accepted", "one", edit_distance_after=[0, 0, 0, 0, 0]),
            row("a", 40, "Shown", "two"),
        ],
    )
    assert said(read_copilot(path)) == ["one", "accepted", *["kept"] * 2, "two", *["kept"] * 3]


def test_reading_twice_names_everything_alike(tmp_path: Path) -> None:
    """Ids come from line and content, also where the file has grown; equal rows stay two events."""
    rows = [row("a", 0, "Shown"), row("a", 0, "Shown"), row("a", 1, "Accepted")]
    path = write_rows(tmp_path / "t.jsonl", rows)
    first = list(read_copilot(path))
    assert first == list(read_copilot(path))
    assert len({event.id for event in first}) == len(first)
    write_rows(path, [*rows, row("a", 5, "Shown")])
    assert {event.id for event in first} < {event.id for event in read_copilot(path)}


def test_a_generation_says_what_is_known_and_no_more(tmp_path: Path) -> None:
    """Text, kind of work, tokens counted; no token ids; the person's name is hashed."""
    (generation,) = generations(read_copilot(write_rows(tmp_path / "t", [row("Ann", 0, "Shown")])))
    assert (generation.text, generation.segment, generation.policy) == ("x = 1", "plots", "copilot")
    assert generation.usage.completion_tokens == 4
    assert generation.completion_token_ids is generation.logprobs is None
    assert generation.generation_id.startswith(generation.session_id)
    assert "Ann" not in generation.user_hash


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{nonsense", "malformed"),
        (json.dumps({"user": "a", "time": "2022-08-08T16:00:00Z"}), "state"),
        (json.dumps(row("a", 0, "Shwon")), r"\$\.state"),
        (
            json.dumps(row("a", 0, "Accepted", edit_distance_after=[0.0] * 6)),
            r"\$\.edit_distance_a",
        ),
        (json.dumps(row("a", 0, "Shown", time="yesterday")), r"\$\.time"),
        (json.dumps(row("", 0, "Shown", suggestion=7)), r"\$\.suggestion"),
        ('{"user": "\udcff"}'.encode("utf-8", "surrogateescape"), ""),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: str | bytes, says: str) -> None:
    """It raises with file, line and field; with `on_error` it is left out and reading goes on."""
    path = tmp_path / "bad.jsonl"
    raw = line.encode() if isinstance(line, str) else line
    good = json.dumps(row("a", 9, "Shown", "good")).encode()
    path.write_bytes(b"\n" + raw + b"\n" + good + b"\n")
    with pytest.raises(MalformedRow, match=rf"bad\.jsonl:2: .*{says}"):
        list(read_copilot(path))
    problems: list[MalformedRow] = []
    assert said(read_copilot(path, on_error=problems.append)) == ["good"]
    assert len(problems) == 1


def exchange(
    person: int, second: float, request: list[str], answer: str, **more: Any
) -> dict[str, Any]:
    """A row of a chat; the request's turns alternate, the person's first."""
    return {
        "programmer": person,
        "time": str(second),
        "model": "m",
        "task": "t",
        "request": [
            {"role": ("user", "assistant")[n % 2], "content": text}
            for n, text in enumerate(request)
        ],
        "response": answer,
        "copy_events": [],
        **more,
    }


def test_turns_chain_by_how_the_request_begins(tmp_path: Path) -> None:
    """A request that goes on from an earlier answer has its session and names it as parent."""
    path = write_rows(
        tmp_path / "c.jsonl",
        [
            exchange(1, 0, ["u1"], "a1"),
            exchange(2, 1, ["u1"], "a1"),
            exchange(1, 5, ["u1", "a1", "u2"], "a2"),
            exchange(1, 9, ["u1"], "a1"),
            exchange(1, 12, ["u1", "a1", "u2", "a2", "u3"], "a3"),
            exchange(1, 15, ["u7", "?", "u8"], "a8"),
            exchange(1, 16, ["u7", "?", "u8", "a9", "u9"], "edited history"),
        ],
    )
    one, other, two, again, three, lone, edited = generations(read_chat(path))
    assert (one.parent_id, other.parent_id, again.parent_id, lone.parent_id) == (None,) * 4
    assert (two.parent_id, three.parent_id) == (one.generation_id, two.generation_id)
    assert two.session_id == three.session_id == one.session_id
    assert len({each.session_id for each in (one, other, again, lone)}) == 4
    # The answer was changed in the product; the question before it is still known.
    assert edited.parent_id == lone.generation_id
    assert all(each.generation_id.startswith(each.session_id) for each in (one, two, three))


def test_copies_are_feedback_on_their_answer(tmp_path: Path) -> None:
    """Each copy event becomes one signal with its text."""
    copies = [{"type": "copy_button", "copied": "p"}, {"type": "highlight", "copied": None}]
    path = write_rows(
        tmp_path / "c.jsonl",
        [exchange(1, 0, ["u"], "a", copy_events=copies), exchange(1, 0.5, ["v"], "b")],
    )
    events = list(read_chat(path))
    feedback = [event.data for event in events if isinstance(event, FeedbackEvent)]
    assert [each.signal for each in feedback] == [Copied(text="p"), Copied(text="")]
    assert {each.generation_id for each in feedback} == {generations(events)[0].generation_id}
    assert generations(events)[0].policy == "m"
    assert generations(read_chat(path, policy="mine"))[0].policy == "mine"
    received = [event.receivedtime for event in events]
    assert received == sorted(received)


@pytest.mark.parametrize("time", ["soon", "nan", "-1", "1e300"])
def test_a_chat_time_that_is_none_is_named(tmp_path: Path, time: str) -> None:
    """A time that cannot be placed is a bad row, not a crash."""
    path = write_rows(tmp_path / "c.jsonl", [exchange(1, 0, ["u"], "a", time=time)])
    with pytest.raises(MalformedRow, match=r"c\.jsonl:1: .*time"):
        list(read_chat(path))


def test_our_own_events_pass_as_they_are(tmp_path: Path) -> None:
    """Lines come undecoded, the malformed ones too, without line ends and blank lines."""
    (event,) = read_copilot(write_rows(tmp_path / "t.jsonl", [row("a", 0, "Shown")]))
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode_event(event) + b"\r\n\n{broken\n\xff\xfe\n" + encode_event(event))
    first, broken, binary, last = [raw for _, raw in read_events(path)]
    assert decode_event(first) == event == decode_event(last)
    for raw in (broken, binary):
        with pytest.raises(MalformedEvent):
            decode_event(raw)


def raw_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_real_telemetry_gives_the_numbers_of_its_raw_rows(real_data: Path) -> None:
    """Suggestions, decisions, undecided and mean keep rates agree with sums over the raw file."""
    path = real_data / "copilot_telemetry.jsonl"
    persons = defaultdict(list)
    for each in raw_rows(path):
        persons[each["user"]].append(each)
    shown = accepted = rejected = 0
    keeps: list[list[float]] = [[] for _ in range(5)]
    for mine in persons.values():
        decided = [each for each in mine if each["state"] in ("Shown", "Accepted", "Rejected")]
        shown += sum(each["state"] == "Shown" for each in decided)
        for before, after in itertools.pairwise(decided):
            if before["state"] != "Shown" or after["state"] == "Shown":
                continue
            accepted += after["state"] == "Accepted"
            rejected += after["state"] == "Rejected"
            if after["state"] == "Accepted":
                for keep, distance in zip(keeps, after["edit_distance_after"], strict=True):
                    if distance is not None and distance >= 0:
                        keep.append(max(0.0, 1 - distance))
    events = list(read_copilot(path))
    said_of = kinds_of_each(events)
    assert len(said_of) == shown
    assert sum("accepted" in kinds for kinds in said_of.values()) == accepted
    assert sum("rejected" in kinds for kinds in said_of.values()) == rejected
    assert sum(not kinds for kinds in said_of.values()) == shown - accepted - rejected
    means = defaultdict(list)
    for event in events:
        if isinstance(event, FeedbackEvent) and isinstance(event.data.signal, Kept):
            means[event.data.signal.horizon_seconds].append(event.data.signal.fraction)
    for horizon, keep in zip((15, 30, 120, 300, 600), keeps, strict=True):
        assert len(means[horizon]) == len(keep)
        assert sum(means[horizon]) / len(keep) == pytest.approx(sum(keep) / len(keep))


def kinds_of_each(events: list[Event]) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {each.generation_id: [] for each in generations(events)}
    for event in events:
        if isinstance(event, FeedbackEvent):
            result[event.data.generation_id].append(kind_of(event.data.signal))
    return result


def test_the_real_chats_give_the_numbers_of_their_raw_rows(real_data: Path) -> None:
    """Answers and copies agree with the raw file; turns that repeat an answer are chained to it."""
    path = real_data / "chat_sessions.jsonl"
    raw = raw_rows(path)
    events = list(read_chat(path))
    made = generations(events)
    assert len(made) == len(raw)
    assert len(events) - len(made) == sum(len(each["copy_events"]) for each in raw)
    text_of = {each.generation_id: each.text for each in made}
    person_of = {each.generation_id: each.user_hash for each in made}
    by_text = defaultdict(list)
    for each in raw:
        by_text[each["programmer"], each["response"]].append(each)
    quoting = sum(
        len(each["request"]) >= 2
        and each["request"][-2]["role"] == "assistant"
        and (each["programmer"], each["request"][-2]["content"]) in by_text
        for each in raw
    )
    chained = [each for each in made if each.parent_id is not None]
    assert all(person_of[each.parent_id or ""] == each.user_hash for each in chained)
    assert len(chained) >= quoting > 300
    assert all(each.parent_id in text_of for each in chained)


@pytest.mark.parametrize(
    ("name", "reader"), [("copilot_telemetry", read_copilot), ("chat_sessions", read_chat)]
)
def test_real_events_survive_the_wire(real_data: Path, name: str, reader: Any) -> None:
    """Every event of a recording is one that our own decoder takes, unchanged, in receive order."""
    events = list(reader(real_data / f"{name}.jsonl"))
    assert [decode_event(encode_event(event)) for event in events] == events
    received = [event.receivedtime for event in events]
    assert received == sorted(received)
    assert len({(event.source, event.id) for event in events}) == len(events)
