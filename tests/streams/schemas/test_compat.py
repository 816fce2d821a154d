"""Version 1 stays version 1: what it once wrote is read, and what it could not read is named.

`compat/` holds records as they were written; nothing writes them again. `generations.json` and
`feedback.json` are of the first writer, with its eight kinds of signal; `work_data.json` is of the
one that brought the rest of the taxonomy, `measured.json` of the one that brought own numbers,
`agent.json` of the one that brought thoughts, tool calls and input, `checked.json` of the one that
brought checks, `asked.json` of the one that brought questions for feedback, `judged.json` of the one that
brought readings, `chains.json` of the one that let feedback name a session or a reference.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import jsonschema
import msgspec
import pytest
from ledger_by_hand import FEEDBACK, Ledger
from whole_records import whole_record

from rlwd.streams.events.event import decode_event, decode_feedback, encode_event
from rlwd.streams.events.signals import (
    SIGNALS,
    Accepted,
    Copied,
    Edited,
    ErrorClass,
    Kept,
    Rated,
    Rejected,
    Statement,
    Undone,
    UnknownSignal,
)
from rlwd.streams.schemas.schema import schema

FROZEN = {path.name: path for path in (Path(__file__).parent / "compat").glob("*.json")}
FIRST_KINDS = ("accepted", "rejected", "edited", "undone", "kept", "copied", "followed_up", "rated")


def records(name: str) -> list[dict[str, Any]]:
    """The records of one frozen file."""
    found: list[dict[str, Any]] = json.loads(FROZEN[name].read_text())
    return found


EVERY = [(name, record) for name in sorted(FROZEN) for record in records(name)]


class OldFollowedUp(msgspec.Struct, tag="followed_up", tag_field="kind"):
    """As the first writer knew it: without the statement."""

    text: str


class OldFeedback(msgspec.Struct, kw_only=True):
    """Feedback as the first reader of version 1 knew it."""

    feedback_id: str
    generation_id: str
    session_id: str
    signal: Accepted | Rejected | Edited | Undone | Kept | Copied | OldFollowedUp | Rated
    tenant: str = "default"
    actor: Literal["person", "agent", "system"] = "person"
    replaces: str | None = None


class OldEvent(msgspec.Struct, kw_only=True, tag_field="type", tag="rlwd.feedback.v1"):
    """Its envelope."""

    id: str
    source: str
    specversion: Literal["1.0"]
    time: datetime
    receivedtime: datetime
    data: OldFeedback


def test_nothing_is_missing_from_the_frozen_records() -> None:
    """Every kind there is has one, so that the next change is held to it."""
    assert {r["data"]["signal"]["kind"] for r in records("feedback.json")} == set(FIRST_KINDS)
    kinds = {r["data"]["signal"]["kind"] for _, r in EVERY if r["type"] == "rlwd.feedback.v1"}
    assert kinds == {str(kind.__struct_config__.tag) for kind in SIGNALS}
    first, full = records("generations.json")
    assert first["data"].keys() == full["data"].keys()
    assert not [
        key
        for key in full["data"]
        if key not in ("captured", "consent", "session_id", "logprobs_mode", "policy")
        and full["data"][key] == first["data"][key]
    ]


@pytest.mark.parametrize(("name", "record"), EVERY)
def test_what_version_1_wrote_is_read(name: str, record: dict[str, Any]) -> None:
    """Every field comes out with the value that went in, whatever was added since."""
    event = decode_event(json.dumps(record).encode())
    again = whole_record(event)
    assert holds(again, record)
    assert decode_event(encode_event(event)) == event
    file = f"{record['type'].removeprefix('rlwd.')}.json"
    jsonschema.Draft202012Validator(schema(file)).validate(record)


def holds(new: Any, old: Any) -> bool:
    """Whether `new` says all that `old` said."""
    if isinstance(old, dict):
        return all(key in new and holds(new[key], value) for key, value in old.items())
    return bool(new == old)


def test_the_check_sees_what_is_lost() -> None:
    """A field that were read and forgotten, or changed, would be found."""
    assert holds({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}})
    assert not holds({"a": {"c": 2}}, {"a": {"b": 1}})
    assert not holds({"a": {"b": 2}}, {"a": {"b": 1}})


@pytest.mark.parametrize("record", records("work_data.json"))
def test_the_first_reader_names_the_kind_that_it_does_not_know(record: dict[str, Any]) -> None:
    """A kind that came later is refused by the path of its name; a later field is passed over."""
    raw = json.dumps(record).encode()
    if record["data"]["signal"]["kind"] == "followed_up":
        old = msgspec.json.decode(raw, type=OldEvent)
        assert old.data.signal == OldFollowedUp(record["data"]["signal"]["text"])
        return
    with pytest.raises(msgspec.ValidationError, match=r"at `\$\.data\.signal\.kind`$"):
        msgspec.json.decode(raw, type=OldEvent)


def test_a_kind_from_the_future_is_kept_and_counted(ledger: Ledger) -> None:
    """Today's reader keeps what it does not know, whole and under its name, and goes on."""
    record = records("feedback.json")[0]
    future = {
        **record,
        "data": {**record["data"], "signal": {"kind": "framed_on_the_wall", "room": {"number": 4}}},
    }
    counts = ledger.take(json.dumps(future).encode(), partition=FEEDBACK).counts
    assert (counts.dead_lettered, counts.accepted) == (0, 1)
    kind, payload = ledger.ask("SELECT kind, payload FROM feedback")
    assert kind == "framed_on_the_wall"
    assert decode_feedback(bytes(payload)).signal == UnknownSignal(
        named="framed_on_the_wall",
        fields=msgspec.Raw(b'{"kind":"framed_on_the_wall","room":{"number":4}}'),
    )
    assert ledger.ask("SELECT kind, count FROM unknown_signals") == ("framed_on_the_wall", 1)
    # Read again it changes nothing.
    assert ledger.take(json.dumps(future).encode(), partition=FEEDBACK).counts.duplicate == 1
    assert ledger.ask("SELECT count FROM unknown_signals") == (1,)


def test_every_signal_of_work_data_has_an_event() -> None:
    """The kinds of the taxonomy, and what an error or a statement may be, by name."""
    assert {str(kind.__struct_config__.tag) for kind in SIGNALS} == {
        *FIRST_KINDS,
        *("interrupted", "tool_result", "resolved", "escalated", "regenerated", "outcome"),
        *("measured", "checked", "asked", "judged"),
    }
    assert set(get_args(ErrorClass)) == {
        *("invalid_arguments", "unexpected_environment", "provider_error"),
        *("user_aborted", "timeout", "unknown"),
    }
    assert set(get_args(Statement)) == {
        *("direction", "justification", "priority", "pattern"),
        *("correction", "satisfied", "dissatisfied", "other"),
    }
