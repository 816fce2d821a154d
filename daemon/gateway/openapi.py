"""The OpenAPI 3.1 description of the gateway, made from what it reads.

`python -m rlwd.daemon.gateway.openapi FILE` writes it; a test fails where the published file,
`docs/openapi.gateway.json`, is out of date or a route is missing.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from ..callers.posted import Posted
from .feedback import LIMIT

_REFUSALS = {
    "400": "The request is not usable; the message names the field.",
    "401": "A valid bearer token is needed.",
    "403": "The token is not for this tenant, or the page of the web may not call.",
    "404": "There is no such thing.",
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "415": "Content-Type must be application/json.",
    "429": "Over the client's rate or cap, or the engine's; Retry-After says when to come back.",
    "500": "The gateway or the engine failed.",
    "502": "The engine broke off.",
    "503": "No engine or no flags at the moment; Retry-After says when to come back.",
    "504": "The engine took too long.",
}
_LIST = {"type": "array", "items": {"type": "object"}}
_HEADERS = {
    "Session": "Key of a conversation: its events stay in order.",
    "User": "The person, as the product names them; only a keyed hash leaves the gateway.",
    "Segment": "Kind of work; baselines are tracked by it.",
    "Consent": "true, false, or purposes: train, share; what is none of them is only counted.",
    "Tenant": "The customer; where the token is bound to one, that one.",
    "Parent": "The generation that this one answers to.",
    "Harness": "Version of the product around the model.",
    "Version": "As the session's last answer gave it: the conversation stays on its version.",
    "Tool-Call": "The tool call that this session works for: a subagent's.",
    "Side-Request": "What the harness asks for on its own (title, check): never trained on.",
}


def openapi_document() -> dict[str, Any]:
    """Return the description."""
    _, schemas = msgspec.json.schema_components(
        [Posted], ref_template="#/components/schemas/{name}"
    )
    for schema in schemas.values():
        schema["description"] = schema.get("description", "").split("\n\n")[0].replace("\n", " ")
    schemas |= {"Error": _error(), "Taken": _taken()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rlwd gateway",
            "version": "1",
            "description": "An OpenAI-compatible proxy that assigns, serves and records. Fields are"
            " added within version 1.",
        },
        "security": [{}, {"bearer": []}],
        "paths": {
            "/v1/chat/completions": {"post": _completions("messages")},
            "/v1/completions": {"post": _completions("prompt")},
            "/v1/responses": {"post": _completions("input")},
            "/v1/messages": {"post": _messages()},
            "/v1/messages/count_tokens": {"post": _count_tokens("messages")},
            "/v1/responses/input_tokens": {"post": _count_tokens("input")},
            "/v1/models": {"get": _page("List the one model.", ("401", "403", "429"))},
            "/v1/models/{id}": {
                "parameters": [_path("id")],
                "get": _page("Tell of one model.", ("401", "403", "404", "429")),
            },
            "/v1/feedback": {"post": _feedback()},
            "/ofrep/v1/evaluate/flags": {"post": _ofrep()},
            "/ofrep/v1/evaluate/flags/{key}": {"parameters": [_path("key")], "post": _ofrep()},
            "/livez": {"get": _page("Whether the process answers.", ("403",))},
            "/readyz": {"get": _page("Whether a request would be served.", ("403", "503"))},
            "/openapi.json": {"get": _page("This description.", ("401", "403", "429"))},
            "/metrics": {"get": _metrics()},
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _feedback() -> dict[str, Any]:
    posted = {"$ref": "#/components/schemas/Posted"}
    taken = {"$ref": "#/components/schemas/Taken"}
    results = _object({"results": {"type": "array", "items": taken}})
    found = _operation(
        "Post what people did: one, or a list of at most a thousand; each is answered on its own.",
        {"oneOf": [posted, {"type": "array", "items": posted, "maxItems": LIMIT}]},
        _answer("Taken: the spool has it.", {"anyOf": [taken, results]}),
        "202",
        refusals=("400", "401", "403", "408", "413", "415", "429", "503"),
    )
    found["responses"]["207"] = _answer("Some were refused; each says why.", results)
    for status in ("400", "403", "413", "503"):
        either = {"anyOf": [taken, {"$ref": "#/components/schemas/Error"}]}
        found["responses"][status]["content"]["application/json"]["schema"] = either
    return found


def _completions(needs: str) -> dict[str, Any]:
    asked = _object(
        {
            "model": {"type": "string"},
            "messages": _LIST,
            "prompt": {"type": ["string", "array"]},
            "input": {"type": ["string", "array"]},
            "stream": {"type": "boolean"},
            "user": {"type": "string"},
            "safety_identifier": {"type": "string"},
            "prompt_cache_key": {"type": "string"},
            "metadata": {"type": "object"},
        }
    )
    asked["required"] = [needs]
    refusals = tuple(_REFUSALS)
    answer = _answer("The answer, as OpenAI's; `id` is the generation id.", {"type": "object"})
    # Without a schema: OpenAPI 3.1 has none for the events of a stream, and readers differ in
    # whether one would be of the whole text or of each event.
    answer["content"]["text/event-stream"] = {}
    answer["headers"] = {
        name: {"schema": {"type": "string"}, "description": said}
        for name, said in {
            "X-Rlwd-Generation": "The generation id, which feedback names.",
            "X-Request-Id": "The same.",
            "X-Rlwd-Ignored": "Fields that the engine cannot take.",
        }.items()
    }
    found = _operation("Ask for one generation.", asked, answer, "200", refusals=refusals)
    found["parameters"] = [
        {
            "name": f"X-Rlwd-{name}",
            "in": "header",
            "description": said,
            "schema": {"type": "string", "maxLength": 200},
        }
        for name, said in _HEADERS.items()
    ]
    return found


def _messages() -> dict[str, Any]:
    found = _completions("messages")
    asked = found["requestBody"]["content"]["application/json"]["schema"]
    asked["properties"]["max_tokens"] = {"type": "integer", "minimum": 1}
    asked["required"].append("max_tokens")
    return found


def _count_tokens(needs: str) -> dict[str, Any]:
    asked = _object({needs: {"type": ["string", "array"]} if needs == "input" else _LIST})
    counted = _object({"input_tokens": {"type": "integer"}})
    return _operation(
        "Count the tokens that the model would read; nothing is recorded.",
        {**asked, "required": [needs]},
        _answer("The count.", {**counted, "required": ["input_tokens"]}),
        "200",
        refusals=tuple(_REFUSALS),
    )


def _ofrep() -> dict[str, Any]:
    context = _object({"targetingKey": {"type": "string", "minLength": 1}})
    asked = _object({"context": {**context, "required": ["targetingKey"]}})
    found = _operation(
        "Evaluate the flag, by OpenFeature's remote evaluation protocol.",
        {**asked, "required": ["context"]},
        _answer("The evaluation.", {"type": "object"}),
        "200",
        refusals=("400", "401", "403", "404", "408", "413", "415", "429", "500"),
    )
    failure = _object({"errorCode": {"type": "string"}, "errorDetails": {"type": "string"}})
    for status in ("400", "404", "408", "413", "415", "429", "500"):
        either = {"anyOf": [failure, {"$ref": "#/components/schemas/Error"}]}
        found["responses"][status]["content"]["application/json"]["schema"] = either
    found["responses"]["304"] = {"description": "As the client knows it already."}
    return found


def _page(said: str, refusals: tuple[str, ...]) -> dict[str, Any]:
    responses = {"200": _answer(said, {"type": "object"}), **_refusals(refusals)}
    if "503" in responses:
        responses["503"] = _answer("Not now; `reasons` says why.", {"type": "object"})
    return {"summary": said, "responses": responses}


def _metrics() -> dict[str, Any]:
    text = {"description": "Counters.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "summary": "What Prometheus reads.",
        "responses": {"200": text, **_refusals(("401", "403", "429"))},
    }


def _operation(
    said: str, asked: dict[str, Any], answer: dict[str, Any], status: str, refusals: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "summary": said,
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": {status: answer, **_refusals(refusals)},
    }


def _refusals(statuses: tuple[str, ...]) -> dict[str, Any]:
    error = {"$ref": "#/components/schemas/Error"}
    return {status: _answer(_REFUSALS[status], error) for status in statuses}


def _answer(said: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": said, "content": {"application/json": {"schema": schema}}}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _error() -> dict[str, Any]:
    return {**_object({"error": {"type": "object"}}), "required": ["error"]}


def _taken() -> dict[str, Any]:
    told = {
        "feedback_id": {"type": ["string", "null"]},
        "status": {"type": "integer"},
        "error": {"type": "object"},
    }
    return {**_object(told), "required": ["feedback_id", "status"]}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(openapi_document(), indent=2) + "\n")
