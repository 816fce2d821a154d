"""The status pages' description, as OpenAPI 3.1.

`python -m rlwd.daemon.status.openapi FILE` writes it; a test fails where the published file,
`docs/openapi.daemon.json`, is out of date.
"""

import json
import sys
from pathlib import Path
from typing import Any


def openapi_document() -> dict[str, Any]:
    """Return the description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rlwd daemon",
            "version": "1",
            "description": "Pages for people and monitoring. The forms are for people in a browser,"
            " and change what the commands of the same names change. Fields are added within"
            " version 1.",
        },
        "security": [{}, {"bearer": []}, {"basic": []}, {"session": []}],
        "paths": {
            **_pages(),
            "/login": {
                "get": {"summary": "Asks for the token.", "responses": {"200": _html("The form.")}},
                **_form("Begins a session.", ("name", "token", "next"), _html("A wrong token.")),
            },
            "/logout": _form("Ends a session.", ("form",)),
            "/decide": _form(
                "Promotes, rejects, pauses, resumes or rolls back, as the commands do.",
                ("form", "action", "version", "by", "reason"),
                _html("Not sent from our own page."),
            ),
            "/livez": _health("Whether the loop turns.", "It stands still."),
            "/readyz": _health("Whether nothing keeps it from working.", "Something does."),
            "/metrics": _page("What Prometheus reads.", "text/plain"),
            "/statusz": _page("The page's content; it only grows.", "application/json"),
            "/flags": _flags(),
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "rlwd_session"},
                "basic": {"type": "http", "scheme": "basic", "description": "Any user, the token."},
            }
        },
    }


def _pages() -> dict[str, Any]:
    """Return the pages for people."""
    return {
        "/": _page("The overview, for people; the markup of pages is private.", "text/html"),
        "/rollouts": _page("Every rollout.", "text/html"),
        "/rollouts/{version}": _named("All that is known of one rollout.", "version"),
        "/problems": _page("What is wrong, since when, and the runbook.", "text/html"),
        "/runbook": _runbook(),
        "/learner": _page("What the learner's updates measured.", "text/html"),
        "/ledger": _asked("Where every generation and record ended.", ("before",)),
        "/batches/{batch}": _asked("One sealed batch and its answers.", ("after",), "batch"),
        "/answers": _asked(
            "Answers by what became of them.",
            (
                *("fate", "stage", "batch", "experiment", "variant", "segment", "day"),
                *("version", "signal", "tool", "part", "after"),
            ),
        ),
        "/answers/{answer}": _named("One answer's story, without texts.", "answer"),
        "/answers/": _called("The same, of an id that is no plain segment of a path."),
        "/records/{topic}/{index}": _asked(
            "How far a partition is read, and which of its records were refused.",
            ("before", "reason"),
            "topic",
            "index",
        ),
        "/records/{topic}/{index}/{at}": _asked(
            "Why one record was refused.", (), "topic", "index", "at"
        ),
        "/gateways/{gateway}": _named("Which flags a gateway acts on, since when.", "gateway"),
        "/gateways/": _called("The same, of a name that is no plain segment of a path."),
        "/signals": _page("What answers are worth, and what was said of them.", "text/html"),
        "/readings": _page("What was read in people's next messages.", "text/html"),
        "/tools": _page("How calls of tools ended, and what fails.", "text/html"),
        "/triage": _page(
            "A week's problems, grouped, with the answers that show them.", "text/html"
        ),
    }


def _page(said: str, kind: str) -> dict[str, Any]:
    schema = {"type": "object"} if kind == "application/json" else {"type": "string"}
    good = {"description": said, "content": {kind: {"schema": schema}}}
    return {"get": {"summary": said, "responses": {"200": good, "401": _json("No valid token.")}}}


def _named(said: str, *names: str) -> dict[str, Any]:
    page = _page(said, "text/html")
    page["get"]["parameters"] = [_parameter(name, "path") for name in names]
    page["get"]["responses"]["404"] = _html("There is none of this name.")
    return page


def _called(said: str) -> dict[str, Any]:
    page = _named(said)
    page["get"]["parameters"] = [_parameter("id", "query")]
    return page


def _runbook() -> dict[str, Any]:
    page = _page("What to do about each alert and problem; asks nobody for a token.", "text/html")
    del page["get"]["responses"]["401"]
    return page


def _asked(said: str, names: tuple[str, ...], *path: str) -> dict[str, Any]:
    page = _named(said, *path) if path else _page(said, "text/html")
    page["get"].setdefault("parameters", [])
    page["get"]["parameters"] += [_parameter(one, "query") for one in names]
    page["get"]["responses"]["400"] = _html("Asked for with a value that says nothing.")
    return page


def _parameter(name: str, where: str) -> dict[str, Any]:
    known = {"name": name, "in": where, "schema": {"type": "string"}}
    return {**known, "required": True} if where == "path" else known


def _form(
    said: str, fields: tuple[str, ...], refused: dict[str, Any] | None = None
) -> dict[str, Any]:
    properties = {name: {"type": "string"} for name in fields}
    form = {"schema": {"type": "object", "properties": properties}}
    responses = {
        "303": {"description": "On to the next page.", "content": {"text/plain": {"schema": {}}}},
        "401": _json("No valid token."),
        **({"403": refused} if refused else {}),
    }
    body = {"content": {"application/x-www-form-urlencoded": form}}
    return {"post": {"summary": said, "requestBody": body, "responses": responses}}


def _html(said: str) -> dict[str, Any]:
    return {"description": said, "content": {"text/html": {"schema": {"type": "string"}}}}


def _flags() -> dict[str, Any]:
    proof = {
        "ETag": _text("Names generation and content."),
        "X-Rlwd-Flag-Generation": _text("Generation of the document."),
        "X-Rlwd-Flag-Signature": _text("HMAC-SHA256 of both under http.flags_key, hex."),
    }
    said = "The flags, signed, for gateways that do not have the flag file (flagd's format)."
    page = _page(said, "application/json")
    page["get"]["responses"]["200"]["headers"] = proof
    page["get"]["responses"] |= {
        "304": {"description": "The caller has them (If-None-Match).", "headers": proof},
        "404": _json("No http.flags_key, or a daemon of the ingest role."),
        "503": _json("No version was let out yet."),
    }
    return page


def _text(said: str) -> dict[str, Any]:
    return {"description": said, "schema": {"type": "string"}}


def _health(said: str, failed: str) -> dict[str, Any]:
    return {"get": {"summary": said, "responses": {"200": _json(said), "503": _json(failed)}}}


def _json(said: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {"description": said, "content": content}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(openapi_document(), indent=2) + "\n")
