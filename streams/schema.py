"""JSON Schemas of the two events, for products that write the topics themselves.

Made from the one definition in `event.py`; `python -m rlwd.streams.schema` writes them beside this
file, and a test fails where they are out of date.
"""

import ast
import inspect
import itertools
import json
from pathlib import Path
from typing import Any

import msgspec

from . import event as definition
from .event import FeedbackEvent, GenerationEvent

SCHEMAS: dict[str, type] = {
    "generation.v1.json": GenerationEvent,
    "feedback.v1.json": FeedbackEvent,
}
"""File by file, the event it describes."""

_TIME = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)$"


def schema(name: str) -> dict[str, Any]:
    """Return the schema of one file in `SCHEMAS`.

    What a schema cannot say stays with the decoder: as many `logprobs` as `completion_token_ids`,
    each of them at most 0.
    """
    top = SCHEMAS[name]
    _, components = msgspec.json.schema_components([top], ref_template="#/$defs/{name}")
    sentences = field_sentences()
    for title, described in components.items():
        described["description"] = described["description"].split("\n\n")[0]
        for field, properties in described.get("properties", {}).items():
            if (title, field) in sentences:
                properties["description"] = sentences[title, field]
    envelope = components.pop(top.__name__)
    for field in ("time", "receivedtime"):
        # A pattern, since validators need not check `format`, and since the zone is required.
        envelope["properties"][field] |= {"format": "date-time", "pattern": _TIME}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:rlwd:{name.removesuffix('.json')}",
        **envelope,
        "$defs": components,
    }


def field_sentences() -> dict[tuple[str, str], str]:
    """Return the docstring under each field of `event.py`, by class and field."""
    found = {}
    for struct in ast.parse(inspect.getsource(definition)).body:
        if isinstance(struct, ast.ClassDef):
            for field, below in itertools.pairwise(struct.body):
                if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                    assert isinstance(field.target, ast.Name)
                    text = " ".join(str(ast.literal_eval(below.value)).split())
                    found[struct.name, field.target.id] = text
    return found


def text_of(name: str) -> str:
    """Return what stands in a schema's file."""
    return json.dumps(schema(name), indent=2) + "\n"


def write_schemas(folder: Path) -> list[Path]:
    """Write all schemas to a folder; return the files."""
    files = [folder / name for name in SCHEMAS]
    for file in files:
        file.write_text(text_of(file.name))
    return files


if __name__ == "__main__":
    for file in write_schemas(Path(__file__).parent):
        print(file)
