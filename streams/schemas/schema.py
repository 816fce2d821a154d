"""JSON Schemas of the records, and the AsyncAPI document of their topics, for other products.

Made from the one definition in `MODULES`. `python -m rlwd.streams.schemas.schema` writes them beside
this file, and a test fails where they are out of date.
"""

import ast
import inspect
import itertools
import json
from pathlib import Path
from typing import Any

import msgspec

from .. import routed_experts
from ..events import (
    event,
    generation,
    input_message,
    judged,
    signals,
    tool_use,
    usage,
)
from ..events.event import FeedbackEvent, GenerationEvent
from ..events.signals import UnknownSignal
from ..events.unknown_kind import KEPT
from ..join import dead_letters
from ..join.dead_letters import DeadLetterRecord

SCHEMAS: dict[str, type] = {
    "generation.v1.json": GenerationEvent,
    "feedback.v1.json": FeedbackEvent,
    "deadletter.v1.json": DeadLetterRecord,
}
"""File by file, the record it describes."""

SESSION = "Session id: a session's records stay in order."
PLACE = "topic/partition/offset of the refused record: a letter sent twice is one letter."
TOPICS: dict[str, tuple[str, str, str, str]] = {
    "generation": ("generations", "rlwd.generations", "receive", SESSION),
    "feedback": ("feedback", "rlwd.feedback", "receive", SESSION),
    "deadletter": ("deadletter", "rlwd.deadletter", "send", PLACE),
}
"""Message by message: its channel, the topic where none is configured, what rlwd does, the key."""

MODULES = (
    *(event, generation, input_message, judged, signals, tool_use, usage),
    dead_letters,
    routed_experts,
)
"""Where the records are defined."""

_TIME = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)$"


def schema(name: str) -> dict[str, Any]:
    """Return the schema of one file in `SCHEMAS`.

    What a schema cannot say stays with the decoder: as many `logprobs` as `completion_token_ids`,
    each of them at most 0, and the bounds in `limits.py`.
    """
    top = SCHEMAS[name]
    _, components = msgspec.json.schema_components([top], ref_template="#/$defs/{name}")
    sentences = field_sentences()
    for title, described in components.items():
        described["description"] = described["description"].split("\n\n")[0].replace("\n", " ")
        for field, properties in described.get("properties", {}).items():
            if (title, field) in sentences:
                properties["description"] = sentences[title, field]
    _leave_out_unknown(components)
    envelope = components.pop(top.__name__)
    for field in {"time", "receivedtime"} & envelope["properties"].keys():
        # A pattern, since validators need not check `format`, and since the zone is required.
        envelope["properties"][field] |= {"format": "date-time", "pattern": _TIME}
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:rlwd:{name.removesuffix('.json')}",
        **envelope,
    }
    return {**found, "$defs": components} if components else found


def _leave_out_unknown(components: dict[str, Any]) -> None:
    """Leave out what stands in the state database alone: no record says it."""
    if components.pop(UnknownSignal.__name__, None) is None:
        return
    signal = components["Feedback"]["properties"]["signal"]
    signal["anyOf"].remove({"$ref": f"#/$defs/{UnknownSignal.__name__}"})
    del signal["discriminator"]["mapping"][KEPT]


def field_sentences() -> dict[tuple[str, str], str]:
    """Return the docstring under each field of the definition, by class and field."""
    found = {}
    for module in MODULES:
        for struct in ast.parse(inspect.getsource(module)).body:
            if isinstance(struct, ast.ClassDef):
                for field, below in itertools.pairwise(struct.body):
                    if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                        assert isinstance(field.target, ast.Name)
                        text = " ".join(str(ast.literal_eval(below.value)).split())
                        found[struct.name, field.target.id] = text
    return found


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document: who writes what to which topic, under which key."""
    channels, operations, messages = {}, {}, {}
    for name, (channel, topic, action, key) in TOPICS.items():
        file = f"{name}.v1.json"
        channels[channel] = {
            "address": topic,
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        operations[f"{action}_{channel}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"}],
        }
        messages[name] = _message(file, key)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "rlwd",
            "version": "1",
            "description": "Kinds of signal, and fields with a default, are added within version 1."
            " A reader that does not know a kind keeps the record and counts it.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _message(file: str, key: str) -> dict[str, Any]:
    envelope = schema(file)
    cloudevent = "specversion" in envelope["properties"]
    return {
        "name": file.removesuffix(".json"),
        "summary": envelope["description"],
        "contentType": f"application/{'cloudevents+' if cloudevent else ''}json",
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{file}"},
        },
        "bindings": {
            "kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}
        },
    }


def documents() -> dict[str, str]:
    """Return everything that is published: file by file, what stands in it."""
    found = {name: schema(name) for name in SCHEMAS} | {"asyncapi.json": asyncapi()}
    return {name: json.dumps(document, indent=2) + "\n" for name, document in found.items()}


def write_documents(folder: Path) -> list[Path]:
    """Write all documents to a folder; return the files."""
    written = []
    for name, text in documents().items():
        (folder / name).write_text(text)
        written.append(folder / name)
    return written


if __name__ == "__main__":
    for file in write_documents(Path(__file__).parent):
        print(file)
