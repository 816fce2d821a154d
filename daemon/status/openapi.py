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
            "description": "Pages for people and monitoring; nothing here changes anything. Fields"
            " are added within version 1.",
        },
        "security": [{}, {"bearer": []}, {"basic": []}],
        "paths": {
            "/": _page("The page for people; its markup is private.", "text/html"),
            "/livez": _health("Whether the loop turns.", "It stands still."),
            "/readyz": _health("Whether nothing keeps it from working.", "Something does."),
            "/metrics": _page("What Prometheus reads.", "text/plain"),
            "/statusz": _page("The page's content; it only grows.", "application/json"),
            "/flags": _flags(),
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "Any user, the token."},
            }
        },
    }


def _page(said: str, kind: str) -> dict[str, Any]:
    schema = {"type": "object"} if kind == "application/json" else {"type": "string"}
    good = {"description": said, "content": {kind: {"schema": schema}}}
    return {"get": {"summary": said, "responses": {"200": good, "401": _json("No valid token.")}}}


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
