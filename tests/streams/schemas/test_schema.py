"""The published schemas say what the decoder says."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rlwd.daemon.sections import StreamSettings
from rlwd.streams.events.event import MalformedEvent, decode_event
from rlwd.streams.schemas.schema import SCHEMAS, asyncapi, documents, schema, write_documents

FOLDER = Path(__file__).parents[3] / "streams" / "schemas"

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


@pytest.mark.parametrize("name", documents())
def test_the_committed_documents_are_current(name: str) -> None:
    """A change of the definition without `python -m rlwd.streams.schemas.schema` is caught."""
    assert (FOLDER / name).read_text() == documents()[name]


def test_writing_puts_them_where_they_are_asked_for(tmp_path: Path) -> None:
    """Each schema is a valid one that describes every field."""
    files = write_documents(tmp_path)
    assert [file.name for file in files] == [*SCHEMAS, "asyncapi.json"]
    for file in files[:-1]:
        written = json.loads(file.read_text())
        jsonschema.Draft202012Validator.check_schema(written)
        for struct in [written, *written.get("$defs", {}).values()]:
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
                {"kind": "followed_up", "text": "shorter", "statement": "direction"},
                {"kind": "followed_up", "text": "shorter", "statement": None},
                {"kind": "rated", "value": 1},
                {"kind": "interrupted"},
                {"kind": "tool_result", "tool": "search", "error_class": None},
                {"kind": "tool_result", "tool": "search", "error_class": "provider_error"},
                {"kind": "resolved"},
                {"kind": "escalated"},
                {"kind": "regenerated"},
                {"kind": "regenerated", "new_generation_id": "s1.g2"},
                {"kind": "outcome", "name": "merged", "value": 1},
                {"kind": "outcome", "name": "sold", "value": 0.2, "amount": 12, "unit": "EUR"},
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
        ("generation.v1.json", with_data(GENERATION, prompt_token_ids=[-1])),
        ("generation.v1.json", with_data(GENERATION, completion_token_ids=[7, 2**31])),
        ("generation.v1.json", with_data(GENERATION, logprobs_mode="cooked")),
        ("generation.v1.json", with_data(GENERATION, sampling={"temperature": -1})),
        ("feedback.v1.json", with_data(FEEDBACK, signal={"kind": "Liked it"})),
        ("feedback.v1.json", with_data(FEEDBACK, signal={"kind": "edited"})),
        ("feedback.v1.json", with_data(FEEDBACK, signal={"kind": "rated", "value": 5})),
        ("feedback.v1.json", with_data(FEEDBACK, actor="robot")),
        *(
            ("feedback.v1.json", with_data(FEEDBACK, signal=signal))
            for signal in (
                {"kind": "followed_up", "text": "shorter", "statement": "mood"},
                {"kind": "tool_result", "tool": "search"},
                {"kind": "tool_result", "tool": "", "error_class": None},
                {"kind": "tool_result", "tool": "search", "error_class": "bad_luck"},
                {"kind": "regenerated", "new_generation_id": ""},
                {"kind": "outcome", "name": "sold", "value": 12},
                {"kind": "outcome", "value": 1},
                {"kind": "outcome", "name": "sold", "value": 1, "amount": "12"},
            )
        ),
    ],
)
def test_what_the_decoder_refuses_is_invalid(name: str, event: dict[str, Any]) -> None:
    """Each of these is refused by both."""
    assert not validator(name).is_valid(event)
    with pytest.raises(MalformedEvent):
        decode_event(json.dumps(event).encode())


REFERENCE = {
    "type": "object",
    "properties": {"$ref": {"type": "string", "pattern": r"^(#/|\./)"}},
    "required": ["$ref"],
    "additionalProperties": False,
}
MAP_OF_REFERENCES = {"type": "object", "minProperties": 1, "additionalProperties": REFERENCE}
ASYNCAPI_3 = {
    "type": "object",
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "info": {
            "type": "object",
            "properties": {"title": {"type": "string"}, "version": {"type": "string"}},
            "required": ["title", "version"],
        },
        "defaultContentType": {"type": "string"},
        "channels": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {"address": {"type": "string"}, "messages": MAP_OF_REFERENCES},
                "required": ["address", "messages"],
                "additionalProperties": False,
            },
        },
        "operations": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "channel": REFERENCE,
                    "messages": {"type": "array", "items": REFERENCE},
                },
                "required": ["action", "channel"],
                "additionalProperties": False,
            },
        },
        "components": {
            "type": "object",
            "properties": {
                "messages": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string"},
                            "summary": {"type": "string"},
                            "contentType": {"type": "string", "pattern": "^application/"},
                            "payload": {
                                "type": "object",
                                "properties": {
                                    "schemaFormat": {"type": "string"},
                                    "schema": REFERENCE,
                                },
                                "required": ["schemaFormat", "schema"],
                                "additionalProperties": False,
                            },
                            "bindings": {
                                "type": "object",
                                "properties": {
                                    "kafka": {
                                        "type": "object",
                                        "properties": {"key": {"type": "object"}},
                                        "required": ["key", "bindingVersion"],
                                    }
                                },
                                "required": ["kafka"],
                            },
                        },
                        "required": ["payload"],
                        "additionalProperties": False,
                    },
                }
            },
            "required": ["messages"],
        },
    },
    "required": ["asyncapi", "info"],
    "additionalProperties": False,
}
"""What AsyncAPI 3.0 asks of the objects that are used here, written out by hand."""


def references(node: Any) -> list[str]:
    """Every `$ref` in a document."""
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for below in node.values() for found in references(below)]
    return (
        [found for below in node for found in references(below)] if isinstance(node, list) else []
    )


def test_the_asyncapi_document_is_one() -> None:
    """It has the shape that AsyncAPI 3.0 asks for, and each reference leads to something."""
    document = asyncapi()
    jsonschema.Draft202012Validator(ASYNCAPI_3).validate(document)
    found = references(document)
    assert {ref for ref in found if ref.startswith("./")} == {f"./{name}" for name in SCHEMAS}
    for ref in found:
        if ref.startswith("./"):
            assert json.loads((FOLDER / ref).read_text())["$id"] == f"urn:rlwd:{ref[2:-5]}"
            continue
        there: Any = document
        for step in ref.removeprefix("#/").split("/"):
            there = there[step]
        assert there


def test_the_channels_are_the_topics() -> None:
    """Addresses are the topics where none is configured; the two that are read are received."""
    document, configured = asyncapi(), StreamSettings()
    assert {name: channel["address"] for name, channel in document["channels"].items()} == {
        "generations": configured.generations,
        "feedback": configured.feedback,
        "deadletter": configured.dead_letters,
    }
    assert {name: said["action"] for name, said in document["operations"].items()} == {
        "receive_generations": "receive",
        "receive_feedback": "receive",
        "send_deadletter": "send",
    }
    keys = [m["bindings"]["kafka"]["key"] for m in document["components"]["messages"].values()]
    assert [key["description"].partition(":")[0] for key in keys] == [
        "Session id",
        "Session id",
        "topic/partition/offset of the refused record",
    ]
