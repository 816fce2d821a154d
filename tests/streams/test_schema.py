"""The published schemas say what the decoder says."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rlwd.streams.event import MalformedEvent, decode_event
from rlwd.streams.schema import SCHEMAS, schema, text_of, write_schemas

FOLDER = Path(__file__).parents[2] / "streams"

ENVELOPE = {
    "specversion": "1.0",
    "id": "s1.g1",
    "source": "/gateway/eu-1",
    "time": "2026-11-21T12:00:00Z",
    "receivedtime": "2026-11-21T12:00:01.5+02:00",
}
GENERATION = {
    **ENVELOPE,
    "type": "rlwd.generation.v1",
    "data": {
        "generation_id": "s1.g1",
        "session_id": "s1",
        "prompt_token_ids": [5, 6],
        "completion_token_ids": [7, 8],
        "logprobs": [-0.1, -2],
        "sampling": {"temperature": 0.7},
        "unheard_of": {"is": "ignored"},
    },
}
FEEDBACK = {
    **ENVELOPE,
    "type": "rlwd.feedback.v1",
    "data": {
        "feedback_id": "f1",
        "generation_id": "s1.g1",
        "session_id": "s1",
        "signal": {"kind": "kept", "fraction": 0.5, "horizon_seconds": 30},
    },
}


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(name))


def with_data(event: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**event, "data": {**event["data"], **fields}}


def without(event: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != field}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schemas_are_current(name: str) -> None:
    """A change of `event.py` without `python -m rlwd.streams.schema` is caught."""
    assert (FOLDER / name).read_text() == text_of(name)


def test_writing_puts_them_where_they_are_asked_for(tmp_path: Path) -> None:
    """Each file is a valid schema that describes every field."""
    for file in write_schemas(tmp_path):
        written = json.loads(file.read_text())
        jsonschema.Draft202012Validator.check_schema(written)
        for struct in [written, *written["$defs"].values()]:
            fields = set(struct["properties"]) - {"type", "kind"}
            assert all(struct["properties"][field].get("description") for field in fields)


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("generation.v1.json", GENERATION),
        ("generation.v1.json", with_data(GENERATION, logprobs=None, completion_token_ids=None)),
        ("feedback.v1.json", FEEDBACK),
        *(
            ("feedback.v1.json", with_data(FEEDBACK, signal=signal))
            for signal in (
                {"kind": "accepted"},
                {"kind": "rejected"},
                {"kind": "edited", "final_text": "x"},
                {"kind": "undone"},
                {"kind": "copied"},
                {"kind": "followed_up", "text": "why?"},
                {"kind": "rated", "value": 1},
            )
        ),
    ],
)
def test_what_the_decoder_takes_is_valid(name: str, event: dict[str, Any]) -> None:
    """Each kind of record passes both."""
    validator(name).validate(event)
    decode_event(json.dumps(event).encode())


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("generation.v1.json", {**GENERATION, "type": "rlwd.generation.v2"}),
        ("generation.v1.json", without(GENERATION, "receivedtime")),
        ("generation.v1.json", {**GENERATION, "time": "2026-11-21T12:00:00"}),
        ("generation.v1.json", {**GENERATION, "time": "yesterday"}),
        ("generation.v1.json", {**GENERATION, "specversion": "0.3"}),
        ("generation.v1.json", {**GENERATION, "id": ""}),
        ("generation.v1.json", with_data(GENERATION, session_id="")),
        ("generation.v1.json", with_data(GENERATION, prompt_token_ids=["5"])),
        ("generation.v1.json", with_data(GENERATION, logprobs_mode="cooked")),
        ("generation.v1.json", with_data(GENERATION, sampling={"temperature": -1})),
        ("feedback.v1.json", with_data(FEEDBACK, signal={"kind": "liked"})),
        ("feedback.v1.json", with_data(FEEDBACK, signal={"kind": "edited"})),
        ("feedback.v1.json", with_data(FEEDBACK, signal={"kind": "rated", "value": 5})),
        ("feedback.v1.json", with_data(FEEDBACK, actor="robot")),
    ],
)
def test_what_the_decoder_refuses_is_invalid(name: str, event: dict[str, Any]) -> None:
    """Each of these is refused by both."""
    assert not validator(name).is_valid(event)
    with pytest.raises(MalformedEvent):
        decode_event(json.dumps(event).encode())
